namespace ReadTwice.Checkpoints;

/// <summary>What the weights of linear layers are rounded to when a model is read with, beyond the type its matrices are kept in.</summary>
public enum Quantization
{
    /// <summary>Nothing: products are made with the weights as they are kept.</summary>
    None,

    /// <summary>One byte: 255 steps, whose size 64 neighbouring inputs of an output share.</summary>
    Int8,
}
