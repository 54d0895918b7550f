/* The raw limit of "where am I?": a function in another shared object that loads a thread-local pointer. */
#ifndef TLS_H
#define TLS_H

void *tls_pointer(void);

/* What it loads. Visible, for what nobody else can write is no load. */
extern _Thread_local void *tls_slot;

#endif
