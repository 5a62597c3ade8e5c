using System.Text.Json;
using System.Text.Json.Serialization;

namespace ReadTwice.Training;

/// <summary>How a line of a training run's log is written.</summary>
internal static class TrainingLog
{
    public static readonly JsonSerializerOptions Options = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals,
    };
}
