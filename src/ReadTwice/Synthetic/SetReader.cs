using System.Text.Json.Serialization;

namespace ReadTwice.Synthetic;

/// <summary>Who reads the two sets.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<SetReader>))]
public enum SetReader
{
    /// <summary>Linear attention from left to right, the sets laid once.</summary>
    Causal,

    /// <summary>The same, the sets laid twice (JRT-Prompt).</summary>
    Repeated,

    /// <summary>Prefix linear attention (JRT-RNN), the sets laid once: both are in the state before the first query.</summary>
    NonCausal,

    /// <summary>Softmax attention from left to right, whose state grows with what is read: what the task allows at all.</summary>
    Attention,
}
