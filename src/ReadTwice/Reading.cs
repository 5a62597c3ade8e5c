using System.Globalization;

namespace ReadTwice;

/// <summary>How often, and in which order, a passage is laid before a model: JRT-Prompt as a value (arXiv 2407.05483).</summary>
/// <remarks>
/// Any model reads under any reading. The default value is <see cref="Once"/>. Times is 1 to <see cref="MostTimes"/>;
/// QuestionFirst lays the question before the first copy of the document too, so nothing of it can be read in advance.
/// </remarks>
/// <param name="Times">How many copies of the document stand before the question.</param>
/// <param name="QuestionFirst">Whether the question also stands before the first copy.</param>
public readonly record struct Reading(int Times, bool QuestionFirst = false)
{
    /// <summary>The most copies a reading may ask for; a bound on what a request can cost.</summary>
    public const int MostTimes = 100;

    private const string Question = "question-first";

    // Kept as what comes after the first copy, so that default(Reading) is Once and no reading has zero copies.
    private readonly int rereadings = Checked(Times) - 1;

    /// <summary>The document, then the question.</summary>
    public static Reading Once => new(1);

    /// <summary>The document, the document again, then the question.</summary>
    public static Reading Twice => new(2);

    /// <summary>How many copies of the document stand before the question.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The number is not 1 to <see cref="MostTimes"/>.</exception>
    public int Times
    {
        get => rereadings + 1;
        init => rereadings = Checked(value) - 1;
    }

    /// <summary>Reads what <see cref="ToString"/> writes.</summary>
    /// <remarks>
    /// A reading is a number of times, the word question-first, or both with a comma between them in either order; the number is
    /// once, twice, thrice, or digits with or without an x: "twice", "3x", "question-first", "twice,question-first".
    /// Case and spaces around a part do not matter.
    /// </remarks>
    /// <exception cref="FormatException">The text is no reading.</exception>
    public static Reading Parse(string text) => TryParse(text, out var reading)
        ? reading
        : throw new FormatException(
            $"reading \"{text}\" is not known: write once, twice or a number of copies up to {MostTimes} (3x), "
            + "question-first, or both as twice,question-first.");

    /// <summary>The same, without an exception: false where the text is no reading.</summary>
    public static bool TryParse(string? text, out Reading reading)
    {
        reading = default;
        int? times = null;
        bool questionFirst = false;
        foreach (string part in (text ?? "").Split(',', StringSplitOptions.TrimEntries))
        {
            if (!questionFirst && part.Equals(Question, StringComparison.OrdinalIgnoreCase)) questionFirst = true;
            else if (times is null && Number(part) is int number) times = number;
            else return false;
        }
        reading = new Reading(times ?? 1, questionFirst);
        return true;
    }

    /// <summary>The reading as <see cref="Parse"/> takes it: "once", "twice", "3x", "twice,question-first".</summary>
    public override string ToString()
    {
        string times = Times switch { 1 => "once", 2 => "twice", _ => $"{Times}x" };
        return QuestionFirst ? $"{times},{Question}" : times;
    }

    private static int? Number(string part) => part.ToLowerInvariant() switch
    {
        "once" => 1,
        "twice" => 2,
        "thrice" => 3,
        var digits when int.TryParse(digits.EndsWith('x') ? digits[..^1] : digits, NumberStyles.None, null, out int number)
            && number is >= 1 and <= MostTimes => number,
        _ => null,
    };

    private static int Checked(int times) => times is >= 1 and <= MostTimes
        ? times
        : throw new ArgumentOutOfRangeException(nameof(times), $"a reading is of 1 to {MostTimes} copies, not {times}.");
}
