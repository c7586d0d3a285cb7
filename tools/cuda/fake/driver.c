// A fake of NVIDIA's driver: one GPU whose memory is only counted. Kernels do nothing, so that all
// results are zeros; what is real is every allocation that the program makes, the pool's marks, and errors.
//
// Environment: FAKE_MIB (8192) the card's memory; FAKE_CAP (90) its generation; FAKE_VERSION (13000) of the
// driver; FAKE_CARDS (1); FAKE_INIT the status of cuInit; FAKE_FULL no memory for a context; FAKE_HOLE the
// largest piece in MiB; FAKE_LOST after how many launches the card is lost; FAKE_STATE a folder in which each
// process says what it holds, for nvml.c.
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
typedef uint64_t u64;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static u64 total(void) {
    const char *e = getenv("FAKE_MIB");
    return (e ? strtoull(e, 0, 10) : 8192) << 20;
}
static u64 context_bytes = 0, plain = 0, used = 0, reserved = 0, used_high = 0, reserved_high = 0,
           threshold = 0;
#define N 200000
static struct {
    u64 p, n;
    int pool;
} blocks[N];
static int nb = 0;
static u64 next = 0x7000000000ull;
static void publish(void) {
    char f[200];
    const char *d = getenv("FAKE_STATE");
    if (!d)
        return;
    snprintf(f, 200, "%s/%d", d, getpid());
    FILE *o = fopen(f, "w");
    if (o) {
        fprintf(o, "%lu\n", (unsigned long)(context_bytes + plain + reserved));
        fclose(o);
    }
}
static u64 held(void) {
    return context_bytes + plain + reserved;
}
int cuInit(unsigned f) {
    const char *e = getenv("FAKE_INIT");
    return e ? atoi(e) : 0;
}
int cuDriverGetVersion(int *v) {
    const char *e = getenv("FAKE_VERSION");
    *v = e ? atoi(e) : 13000;
    return 0;
}
int cuDeviceGetCount(int *c) {
    const char *e = getenv("FAKE_CARDS");
    *c = e ? atoi(e) : 1;
    return 0;
}
int cuDeviceGet(int *d, int i) {
    *d = i;
    return 0;
}
int cuDeviceGetName(char *n, int l, int d) {
    snprintf(n, l, "Fake H100 %d", d);
    return 0;
}
int cuDeviceGetUuid_v2(char *u, int d) {
    memset(u, d + 1, 16);
    return 0;
}
int cuDeviceGetUuid(char *u, int d) {
    return cuDeviceGetUuid_v2(u, d);
}
int cuDeviceGetAttribute(int *v, int a, int d) {
    const char *e = getenv("FAKE_CAP");
    int cap = e ? atoi(e) : 90;
    switch (a) {
    case 75:
        *v = cap / 10;
        break;
    case 76:
        *v = cap % 10;
        break;
    case 115:
        *v = 1;
        break;
    default:
        *v = 1024;
    }
    return 0;
}
int cuDeviceTotalMem_v2(u64 *b, int d) {
    *b = total();
    return 0;
}
int cuDevicePrimaryCtxRetain(void **c, int d) {
    if (getenv("FAKE_FULL"))
        return 2;
    context_bytes = 300ull << 20;
    publish();
    *c = (void *)0x10;
    return 0;
}
int cuDevicePrimaryCtxRelease_v2(int d) {
    return 0;
}
int cuDevicePrimaryCtxRelease(int d) {
    return 0;
}
static __thread void *cur;
int cuCtxSetCurrent(void *c) {
    cur = c;
    return 0;
}
int cuCtxGetCurrent(void **c) {
    *c = cur;
    return 0;
}
int cuCtxSynchronize(void) {
    return 0;
}
int cuCtxGetDevice(int *d) {
    *d = 0;
    return 0;
}
int cuStreamCreate(void **s, unsigned f) {
    *s = (void *)0x20;
    return 0;
}
int cuStreamDestroy_v2(void *s) {
    return 0;
}
int cuStreamSynchronize(void *s) {
    return 0;
}
int cuStreamIsCapturing(void *s, int *st) {
    *st = 0;
    return 0;
}
int cuStreamWaitEvent(void *s, void *e, unsigned f) {
    return 0;
}
int cuEventCreate(void **e, unsigned f) {
    *e = (void *)0x30;
    return 0;
}
int cuEventDestroy_v2(void *e) {
    return 0;
}
int cuEventRecord(void *e, void *s) {
    return 0;
}
int cuMemGetInfo_v2(u64 *f, u64 *t) {
    pthread_mutex_lock(&lock);
    *t = total();
    *f = *t - held();
    pthread_mutex_unlock(&lock);
    return 0;
}
int cuDeviceGetMemPool(void **p, int d) {
    *p = (void *)0x40;
    return 0;
}
int cuDeviceGetDefaultMemPool(void **p, int d) {
    *p = (void *)0x40;
    return 0;
}
int cuMemPoolGetAttribute(void *p, int a, void *v) {
    u64 *o = v;
    pthread_mutex_lock(&lock);
    switch (a) {
    case 4:
        *o = threshold;
        break;
    case 5:
        *o = reserved;
        break;
    case 6:
        *o = reserved_high;
        break;
    case 7:
        *o = used;
        break;
    case 8:
        *o = used_high;
        break;
    default:
        pthread_mutex_unlock(&lock);
        return 1;
    }
    pthread_mutex_unlock(&lock);
    return 0;
}
int cuMemPoolSetAttribute(void *p, int a, void *v) {
    u64 n = *(u64 *)v;
    pthread_mutex_lock(&lock);
    int r = 0;
    switch (a) {
    case 4:
        threshold = n;
        break;
    case 6:
        if (n)
            r = 1;
        else
            reserved_high = reserved;
        break;
    case 8:
        if (n)
            r = 1;
        else
            used_high = used;
        break;
    default:
        r = 1;
    }
    pthread_mutex_unlock(&lock);
    return r;
}
int cuMemPoolTrimTo(void *p, u64 keep) {
    pthread_mutex_lock(&lock);
    u64 k = used > keep ? used : keep;
    k = (k + (2 << 20) - 1) / (2 << 20) * (2 << 20);
    if (k < reserved)
        reserved = k;
    publish();
    pthread_mutex_unlock(&lock);
    return 0;
}
static int take(u64 *p, u64 n, int pool) {
    pthread_mutex_lock(&lock);
    if (pool) {
        u64 need = used + n;
        u64 want = (need + (2 << 20) - 1) / (2 << 20) * (2 << 20);
        if (want > reserved) {
            if (context_bytes + plain + want > total()) {
                pthread_mutex_unlock(&lock);
                return 2;
            }
            reserved = want;
        }
        used += n;
        if (used > used_high)
            used_high = used;
        if (reserved > reserved_high)
            reserved_high = reserved;
    } else {
        u64 g = (n + (2 << 20) - 1) / (2 << 20) * (2 << 20);
        const char *h = getenv("FAKE_HOLE");
        if ((h && n > (strtoull(h, 0, 10) << 20)) || held() + g > total()) {
            pthread_mutex_unlock(&lock);
            return 2;
        }
        plain += g;
        n = g;
    }
    int i;
    for (i = 0; i < nb && blocks[i].p; i++)
        ;
    if (i == nb)
        nb++;
    blocks[i].p = next;
    blocks[i].n = n;
    blocks[i].pool = pool;
    *p = next;
    next += n + 512;
    publish();
    pthread_mutex_unlock(&lock);
    return 0;
}
static int give(u64 p) {
    pthread_mutex_lock(&lock);
    int r = 1;
    for (int i = 0; i < nb; i++)
        if (blocks[i].p == p) {
            if (blocks[i].pool)
                used -= blocks[i].n;
            else
                plain -= blocks[i].n;
            blocks[i].p = 0;
            r = 0;
            break;
        }
    publish();
    pthread_mutex_unlock(&lock);
    return r;
}
int cuMemAlloc_v2(u64 *p, u64 n) {
    return take(p, n, 0);
}
int cuMemFree_v2(u64 p) {
    return give(p);
}
int cuMemAllocAsync(u64 *p, u64 n, void *s) {
    return take(p, n, 1);
}
int cuMemFreeAsync(u64 p, void *s) {
    return give(p);
}
int cuMemcpyHtoDAsync_v2(u64 d, void *s, u64 n, void *st) {
    return 0;
}
int cuMemcpyDtoHAsync_v2(void *d, u64 s, u64 n, void *st) {
    memset(d, 0, n);
    return 0;
}
int cuMemcpyDtoDAsync_v2(u64 d, u64 s, u64 n, void *st) {
    return 0;
}
int cuMemsetD8Async(u64 d, unsigned char c, u64 n, void *s) {
    return 0;
}
int cuModuleLoadData(void **m, void *i) {
    *m = (void *)0x50;
    return 0;
}
int cuModuleLoadDataEx(void **m, void *i, unsigned n, void *o, void *v) {
    *m = (void *)0x50;
    return 0;
}
int cuModuleUnload(void *m) {
    return 0;
}
int cuModuleGetFunction(void **f, void *m, char *n) {
    *f = (void *)0x60;
    return 0;
}
int cuFuncSetAttribute(void *f, int a, int v) {
    return 0;
}
static int launches = 0;
int cuLaunchKernel(void *f, unsigned a, unsigned b, unsigned c, unsigned d, unsigned e, unsigned g,
                   unsigned h, void *s, void **k, void **x) {
    const char *l = getenv("FAKE_LOST");
    return l && ++launches > atoi(l) ? 700 : 0;
}
int cuGetErrorName(int e, const char **s) {
    *s = "NAME";
    return 0;
}
int cuGetErrorString(int e, const char **s) {
    *s = e == 2 ? "out of memory" : e == 700 ? "an illegal memory access was encountered" : "?";
    return 0;
}
