/* Stub of the CUDA libraries, for linking Posebook on machines without them (tools/build_cuda.sh).
 *
 * The linker needs every function that cudarc declares. Each is a single jump through a pointer. The real
 * libraries are opened when CUDA is first used, which is always by cuInit (or cuDriverGetVersion, which is
 * allowed before it), and the pointers are set to their functions. Until then, and for missing functions, a
 * call returns its library's status for "not available". The program therefore starts and runs on the CPU
 * on machines without these libraries; nothing is opened before a GPU is requested.
 *
 * Looked for: as the loader does (LD_LIBRARY_PATH, its cache), then in the usual CUDA 13 folders. What was
 * opened can be read in /proc/self/maps.
 */
#ifndef __x86_64__
#error "the jumps are written for x86-64: use an installed CUDA toolkit on other machines"
#endif
#define _GNU_SOURCE
#include <dlfcn.h>
#include <glob.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>

struct function {
    const char *name;
    void **jump;
};

/* What a function answers whose library is missing: each library's own word for it. */
static int no_driver(void) { return 34; }   /* CUDA_ERROR_STUB_LIBRARY */
static int no_nvrtc(void) { return 11; }    /* NVRTC_ERROR_INTERNAL_ERROR */
static int no_curand(void) { return 101; }  /* CURAND_STATUS_NOT_INITIALIZED */
static int no_cublas(void) { return 1; }    /* CUBLAS_STATUS_NOT_INITIALIZED */
static int no_cublaslt(void) { return 1; }  /* the same */
static const char *no_text(void) { return "the library is not available"; }

/* One jump for each function: its pointer, and the symbol that the linker asks for. */
#define JUMP(function, absent)                                  \
    void *jump_##function = (void *)absent;                     \
    __asm__(".text\n"                                           \
            ".globl " #function "\n"                            \
            ".type " #function ", @function\n"                  \
            #function ": jmp *jump_" #function "(%rip)\n"       \
            ".size " #function ", .-" #function "\n");
#define FORWARD_TEXT(function) JUMP(function, no_text)

#define FORWARD(function) JUMP(function, no_driver)
#include "driver.inc"
#undef FORWARD
#define FORWARD(function) JUMP(function, no_nvrtc)
#include "nvrtc.inc"
#undef FORWARD
#define FORWARD(function) JUMP(function, no_curand)
#include "curand.inc"
#undef FORWARD
#define FORWARD(function) JUMP(function, no_cublas)
#include "cublas.inc"
#undef FORWARD
#define FORWARD(function) JUMP(function, no_cublaslt)
#include "cublaslt.inc"
#undef FORWARD
#undef FORWARD_TEXT

static void *jump_cuInit = (void *)no_driver;
static void *jump_cuDriverGetVersion = (void *)no_driver;

/* The same lists once more, to find the functions by name. */
#define FORWARD(function) {#function, &jump_##function},
#define FORWARD_TEXT(function) FORWARD(function)
static const struct function driver[] = {
#include "driver.inc"
    FORWARD(cuInit) FORWARD(cuDriverGetVersion) {NULL, NULL}};
static const struct function nvrtc[] = {
#include "nvrtc.inc"
    {NULL, NULL}};
static const struct function curand[] = {
#include "curand.inc"
    {NULL, NULL}};
static const struct function cublas[] = {
#include "cublas.inc"
    {NULL, NULL}};
static const struct function cublaslt[] = {
#include "cublaslt.inc"
    {NULL, NULL}};

static const char *const folders[] = {
    "/usr/local/cuda/lib64",
    "/usr/local/cuda-13*/lib64",
    "/usr/local/nvidia/lib64",
    "/usr/lib/python3*/*-packages/nvidia/cu13/lib",
    "/usr/local/lib/python3*/*-packages/nvidia/cu13/lib",
};

static void *opened_in(const char *folder, const char *file) {
    char pattern[512];
    glob_t found;
    void *library = NULL;
    snprintf(pattern, sizeof pattern, "%s/%s", folder, file);
    if (glob(pattern, 0, NULL, &found) != 0) return NULL;
    for (size_t i = 0; i < found.gl_pathc && !library; i++) {
        library = dlopen(found.gl_pathv[i], RTLD_NOW | RTLD_GLOBAL);
    }
    globfree(&found);
    return library;
}

/* Opens one library and points its jumps there; a function that it lacks keeps its answer. */
static int opened(const char *file, const struct function *functions) {
    void *library = dlopen(file, RTLD_NOW | RTLD_GLOBAL);
    for (size_t i = 0; i < sizeof folders / sizeof *folders && !library; i++) library = opened_in(folders[i], file);
    if (!library) return 0;
    for (; functions->name; functions++) {
        void *found = dlsym(library, functions->name);
        if (found) *functions->jump = found;
    }
    return 1;
}

static void open_libraries(void) {
    if (!opened("libcuda.so.1", driver)) return;
    opened("libcublasLt.so.13", cublaslt); /* libcublas needs it */
    opened("libcublas.so.13", cublas);
    opened("libcurand.so.10", curand);
    opened("libnvrtc.so.13", nvrtc);
}

static pthread_once_t once = PTHREAD_ONCE_INIT;

__attribute__((visibility("default"))) int cuInit(unsigned flags) {
    pthread_once(&once, open_libraries);
    return ((int (*)(unsigned))jump_cuInit)(flags);
}

__attribute__((visibility("default"))) int cuDriverGetVersion(int *version) {
    pthread_once(&once, open_libraries);
    return ((int (*)(int *))jump_cuDriverGetVersion)(version);
}
