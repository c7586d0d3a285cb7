// Fakes of cuBLAS, cuBLASLt and cuRAND: all calls succeed, nothing is computed.
int cublasCreate_v2(void **h) {
    *h = (void *)0x70;
    return 0;
}
int cublasDestroy_v2(void *h) {
    return 0;
}
int cublasSetStream_v2(void *h, void *s) {
    return 0;
}
int cublasSetMathMode(void *h, int m) {
    return 0;
}
int cublasSgemm_v2() {
    return 0;
}
int cublasGemmEx() {
    return 0;
}
int cublasGemmStridedBatchedEx() {
    return 0;
}
int cublasSgemmStridedBatched() {
    return 0;
}
int cublasLtCreate(void **h) {
    *h = (void *)1;
    return 0;
}
int curandCreateGenerator(void **g, int t) {
    *g = (void *)0x80;
    return 0;
}
int curandDestroyGenerator(void *g) {
    return 0;
}
int curandSetStream(void *g, void *s) {
    return 0;
}
int curandSetPseudoRandomGeneratorSeed(void *g, unsigned long long s) {
    return 0;
}
