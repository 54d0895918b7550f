/* A library with the variable that OpenTelemetry's own implementations have. It must find itself: the shim's
 * variable of that name, which comes before it, is not for it. */
#include <dlfcn.h>

int own_is_own(void);

_Thread_local void *otel_thread_ctx_v1;

int own_is_own(void) {
    int here = 0;
    void *shims = dlvsym(RTLD_DEFAULT, "otel_thread_ctx_v1", "CTXSHIM_OTEL");
    otel_thread_ctx_v1 = &here;
    void *looked_up = dlsym(RTLD_DEFAULT, "otel_thread_ctx_v1");
    return shims != 0 && looked_up == (void *)&otel_thread_ctx_v1 && shims != looked_up;
}
