using ReadTwice.Evaluation.Tasks;

namespace ReadTwice.Evaluation;

/// <summary>The list of the recall tasks.</summary>
public static class RecallTasks
{
    /// <summary>Every task, in the order of the paper's tables.</summary>
    public static IReadOnlyList<RecallTask> All { get; } =
        [Swde.Task, Fda.Task, Squad.Task, Drop.Task, NaturalQuestions.Task, TriviaQa.Task];

    /// <summary>The task of a name, in any case.</summary>
    /// <exception cref="ArgumentException">There is no task of that name.</exception>
    public static RecallTask Named(string name) =>
        All.FirstOrDefault(task => task.Name.Equals(name, StringComparison.OrdinalIgnoreCase))
        ?? throw new ArgumentException($"task \"{name}\" is not known. Known: {string.Join(", ", All.Select(task => task.Name))}.", nameof(name));
}
