// Marks functions that run on the host and, when compiled by nvcc, on the GPU.
#pragma once

#ifdef __CUDACC__
#define SC_HOST_DEVICE __host__ __device__
#else
#define SC_HOST_DEVICE
#endif
