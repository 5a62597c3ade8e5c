using ScottPlot;

namespace ReadTwice.Cli;

/// <summary>One line of a plot.</summary>
/// <param name="Name">What the legend calls it.</param>
/// <param name="X">Where its points lie.</param>
/// <param name="Y">How high they are.</param>
/// <param name="Errors">Half the height of each point's error bar; null for none.</param>
internal sealed record Line(string Name, IReadOnlyList<double> X, IReadOnlyList<double> Y, IReadOnlyList<double>? Errors = null);

/// <summary>Lines over a common axis, drawn to a PNG or SVG file.</summary>
internal sealed record LinePlot(string Title, string XLabel, string YLabel, IReadOnlyList<Line> Lines)
{
    private const int Width = 1000, Height = 650;

    /// <summary>Whether the horizontal axis is logarithmic, to base 2.</summary>
    public bool LogX { get; init; }

    /// <summary>Whether the vertical axis is logarithmic, to base 10.</summary>
    public bool LogY { get; init; }

    /// <summary>Draws the plot in the format that the path's extension names.</summary>
    /// <exception cref="ArgumentException">The extension is neither .png nor .svg.</exception>
    public void Save(string path)
    {
        string extension = Path.GetExtension(path).ToLowerInvariant();
        if (extension is not (".png" or ".svg")) throw new ArgumentException($"{path}: a plot is drawn as .png or .svg, not \"{extension}\".");
        using var plot = new Plot();
        plot.Title(Title);
        plot.XLabel(XLabel);
        plot.YLabel(YLabel);
        foreach (var line in Lines.Where(line => line.X.Count > 0))
        {
            double[] x = [.. line.X.Select(value => LogX ? Math.Log2(value) : value)];
            double[] y = [.. line.Y.Select(value => LogY ? Math.Log10(value) : value)];
            var scatter = plot.Add.Scatter(x, y);
            scatter.LegendText = line.Name;
            scatter.LineWidth = 2;
            scatter.MarkerSize = 7;
            if (line.Errors is null || LogY) continue;
            var bars = plot.Add.ErrorBar(x, y, [.. line.Errors]);
            bars.Color = scatter.Color;
        }
        if (LogX) plot.Axes.Bottom.TickGenerator = Ticks(value => $"{Math.Pow(2, value):N0}");
        if (LogY) plot.Axes.Left.TickGenerator = Ticks(value => $"{Math.Pow(10, value):G4}");
        plot.ShowLegend(Alignment.UpperLeft);
        byte[] drawn = extension == ".png" ? plot.GetImageBytes(Width, Height, ImageFormat.Png) : System.Text.Encoding.UTF8.GetBytes(plot.GetSvgXml(Width, Height));
        AtomicFile.Write(path, stream => stream.Write(drawn));
    }

    private static ScottPlot.TickGenerators.NumericAutomatic Ticks(Func<double, string> label) => new() { IntegerTicksOnly = true, LabelFormatter = label };
}
