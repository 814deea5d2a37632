// Marks functions that run on the host and, when compiled by nvcc, on the GPU.
#pragma once

#ifdef __CUDACC__
#define SC_HOST_DEVICE __host__ __device__
// For templates over the arithmetic (`Math`, ops/row_math.h): on a GPU all threads of a block run
// them together, so nvcc compiles them for the device alone.
#define SC_COLLECTIVE __device__
#else
#define SC_HOST_DEVICE
#define SC_COLLECTIVE
#endif
