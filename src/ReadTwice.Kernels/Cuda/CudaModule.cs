namespace ReadTwice.Kernels.Cuda;

/// <summary>The kernels' code as it is embedded here: PTX, which a card's driver compiles for the card.</summary>
internal static class CudaModule
{
    /// <summary>The sources that are compiled, each to a module of the same name.</summary>
    public static IReadOnlyList<string> Names { get; } = ["PrefixLinearAttention", "PrefixLinearAttentionBackward", "PrefixLinearAttentionStep", "GatedConvolution"];

    /// <summary>The PTX of a module.</summary>
    public static string Ptx(string module)
    {
        using var stream = typeof(CudaModule).Assembly.GetManifestResourceStream($"{module}.ptx")
            ?? throw new CudaException($"The kernels {module} are not embedded in this build; build/ptx.sh makes {module}.ptx.");
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }
}
