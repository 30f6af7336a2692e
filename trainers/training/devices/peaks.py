"""What GPUs can compute at most: NVIDIA's data sheets, dense matrix products.

In tera floating-point operations a second, with float32 accumulation: bfloat16 (float16 on GPUs
before compute capability 8, which have no bfloat16), and float32 as TF32 where there is TF32.
"""

# Looked for in this order in the device's name.
PEAK_TFLOPS = {
    "H200": (989.4, 494.7),
    "H100 PCIe": (756.0, 378.0),
    "H100 NVL": (835.0, 417.5),
    "H100": (989.4, 494.7),
    "A100": (312.0, 156.0),
    "A40": (149.7, 74.8),
    "A10": (125.0, 62.5),
    "L40S": (362.1, 183.2),
    "L4": (121.0, 60.0),
    "RTX 6000 Ada": (364.2, 182.1),
    "RTX A6000": (154.8, 77.4),
    "RTX 4090": (165.2, 82.6),
    "RTX 3090": (71.0, 35.6),
    "V100": (125.0, 15.7),
    "T4": (65.0, 8.1),
}


def peak_flops(device_name: str, precision: str) -> float | None:
    """Operations a second of a GPU in a precision of --precision; None where it is not listed."""
    for name, (half, single) in PEAK_TFLOPS.items():
        if name in device_name:
            return 1e12 * (single if precision == "float32" else half)
    return None
