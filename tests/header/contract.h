/* What the translation units of the header's test program call each other by. */
#ifndef CTXSHIM_TESTS_HEADER_CONTRACT_H
#define CTXSHIM_TESTS_HEADER_CONTRACT_H

#include <ctxshim.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Checks the promises of ctxshim.h in this process. Returns how many were broken, each one said on stderr. */
int contract_without_shim(void);
int contract_with_shim(void);

/* In another translation unit: a key made there must do here, and a scope opened there close here. */
ctxshim_key *other_key_create(void (*destroy)(void *value));
ctxshim_scope other_push(const char *operation);

#ifdef __cplusplus
}
#endif

#endif
