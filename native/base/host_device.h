// Marks functions that run on the host and, when compiled by nvcc, on the GPU.
#pragma once

#ifdef __CUDACC__
#define SC_HOST_DEVICE __host__ __device__
// Of templates over who computes (`Math`, ops/row_math.h): nvcc makes them for the GPU alone, where
// all threads of a block run them together.
#define SC_COLLECTIVE __device__
#else
#define SC_HOST_DEVICE
#define SC_COLLECTIVE
#endif
