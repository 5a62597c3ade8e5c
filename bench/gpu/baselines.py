"""Times softmax attention of the same shapes on the same card: FlashAttention-2 and cuDNN, as PyTorch has them.

16 heads of width 64, bfloat16, causal; medians of 20 runs by events, like the program beside this. Needs PyTorch with CUDA.
"""
import statistics

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

HEADS, WIDTH, RUNS, WARM_UP = 16, 64, 20, 3
SHAPES = [(16, t) for t in (2048, 4096, 8192, 16384, 32768)] + [(b, 16384) for b in (1, 2, 4, 8, 32, 64)]
BACKENDS = {"FlashAttention-2": SDPBackend.FLASH_ATTENTION, "cuDNN": SDPBackend.CUDNN_ATTENTION}


def times(q, k, v):
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    for run in range(RUNS + WARM_UP):
        start.record()
        scaled_dot_product_attention(q, k, v, is_causal=True)
        end.record()
        end.synchronize()
        if run >= WARM_UP:
            yield start.elapsed_time(end)


def main():
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}\n")
    print("| softmax attention | B | T | ms, median of 20 | quartiles |\n|---|---|---|---|---|")
    for name, backend in BACKENDS.items():
        for batch, length in SHAPES:
            q, k, v = (torch.randn(batch, HEADS, length, WIDTH, device="cuda", dtype=torch.bfloat16) for _ in range(3))
            try:
                with sdpa_kernel(backend):
                    low, middle, high = statistics.quantiles(times(q, k, v), n=4)
                print(f"| {name} | {batch} | {length} | {middle:.4f} | {low:.4f} to {high:.4f} |")
            except RuntimeError as error:
                print(f"| {name} | {batch} | {length} | {str(error).splitlines()[0]} | |")


if __name__ == "__main__":
    with torch.inference_mode():
        main()
