using ScottPlot;
using ScottPlot.TickGenerators;

namespace ReadTwice.Cli.Plots;

/// <summary>One line of a plot.</summary>
/// <param name="Name">What the legend calls it; the same name has the same colour in every panel.</param>
/// <param name="X">Where its points lie.</param>
/// <param name="Y">How high they are.</param>
/// <param name="Errors">Half the height of each point's error bar; null for none.</param>
internal sealed record Line(string Name, IReadOnlyList<double> X, IReadOnlyList<double> Y, IReadOnlyList<double>? Errors = null);

/// <summary>Lines over common axes.</summary>
internal sealed record Panel(string Title, string XLabel, string YLabel, IReadOnlyList<Line> Lines)
{
    private const int MostMarkers = 40;   // beyond it they hide the line

    /// <summary>Whether the horizontal axis is logarithmic; points at or below 0 are left out then.</summary>
    public bool LogX { get; init; }

    /// <summary>Whether the vertical axis is logarithmic; points at or below 0 are left out then.</summary>
    public bool LogY { get; init; }

    /// <summary>Whether lines are drawn a little beside each other, on a logarithmic horizontal axis, so that error bars at the same place can be told apart.</summary>
    public bool Dodges { get; init; }

    /// <summary>Draws the lines in the colours that their names have.</summary>
    public Plot Draw(IReadOnlyDictionary<string, Color> colors)
    {
        var plot = new Plot();
        plot.Title(Title, size: 17);
        plot.XLabel(XLabel, size: 15);
        plot.YLabel(YLabel, size: 15);
        double[] xs = [.. Lines.SelectMany(line => line.X).Where(value => value > 0 || !LogX)];
        var (left, right) = LogX && xs.Length > 0 ? Range(xs) : (0, 0);
        for (int number = 0; number < Lines.Count; number++)
        {
            var line = Lines[number];
            int[] shown = [.. Enumerable.Range(0, line.X.Count).Where(i => double.IsFinite(line.Y[i]) && (!LogX || line.X[i] > 0) && (!LogY || line.Y[i] > 0))];
            if (shown.Length == 0) continue;
            // Lines of the same few places would hide each other's error bars.
            double aside = Dodges ? (number % 4 - 1.5) * 0.008 * (AtX(right) - AtX(left)) : 0;
            double[] x = [.. shown.Select(i => AtX(line.X[i]) + aside)], y = [.. shown.Select(i => AtY(line.Y[i]))];
            var scatter = plot.Add.Scatter(x, y, colors[line.Name]);
            scatter.LineWidth = 2;
            scatter.MarkerSize = shown.Length > MostMarkers ? 0 : 8;
            if (line.Errors is not { } errors) continue;
            // Nothing is drawn below a logarithmic axis' smallest number.
            var bars = plot.Add.ErrorBar(x, y, yErrors: [.. shown.Select(_ => 0.0)]);
            bars.YErrorPositive = [.. shown.Select(i => AtY(line.Y[i] + errors[i]) - AtY(line.Y[i]))];
            bars.YErrorNegative = [.. shown.Select(i => AtY(line.Y[i]) - AtY(LogY ? Math.Max(line.Y[i] - errors[i], line.Y[i] / 10) : line.Y[i] - errors[i]))];
            (bars.Color, bars.LineWidth) = (colors[line.Name], 1.5f);
        }
        plot.Axes.AutoScale();
        if (LogX && xs.Length > 0)
        {
            plot.Axes.SetLimitsX(AtX(left), AtX(right));
            plot.Axes.Bottom.TickGenerator = Ticks(xs, left, right);
        }
        else plot.Axes.Bottom.TickGenerator = new NumericAutomatic { LabelFormatter = value => $"{value:#,0.###}" };
        double[] ys = [.. Lines.SelectMany(line => line.Y).Where(double.IsFinite)];
        if (LogY && ys.Any(y => y > 0)) plot.Axes.Left.TickGenerator = Ticks(ys, ys.Where(y => y > 0).Min() / 3, ys.Max() * 3);
        else if (ys.Length > 0 && ys.Min() >= 0 && ys.Min() < ys.Max() / 10) plot.Axes.SetLimitsY(0, plot.Axes.GetLimits().Top);
        plot.Axes.Bottom.TickLabelStyle.FontSize = plot.Axes.Left.TickLabelStyle.FontSize = 13;
        return plot;
    }

    private double AtX(double value) => LogX ? Math.Log10(value) : value;

    private double AtY(double value) => LogY ? Math.Log10(value) : value;

    // As far as the values go and a little farther; at least a factor of two.
    private static (double Least, double Most) Range(double[] values)
    {
        double least = values.Min(), most = values.Max(), margin = Math.Max(Math.Pow(most / least, 0.06), least == most ? 1.5 : Math.Sqrt(2 * least / most));
        return (least / margin, most * margin);
    }

    // The values themselves where they are few and apart, as lengths and sizes of states are; else round numbers.
    private static NumericManual Ticks(double[] values, double least, double most)
    {
        const int Few = 7;
        double[] ticks = [.. values.Where(value => value > 0).Distinct().Order()];
        double apart = Math.Pow(most / least, 0.12);
        if (ticks.Length > Few || ticks.Zip(ticks.Skip(1)).Any(pair => pair.Second / pair.First < apart))
            ticks = new double[][] { [1], [1, 2, 5], [1, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9] }.Select(steps => Round(steps, least, most)).FirstOrDefault(round => round.Length > 2) ?? [least, most];
        return new([.. ticks.Select(Math.Log10)], [.. ticks.Select(tick => $"{tick:#,0.####}")]);
    }

    private static double[] Round(double[] steps, double least, double most)
    {
        int first = (int)Math.Floor(Math.Log10(least)), last = (int)Math.Ceiling(Math.Log10(most));
        return [.. Enumerable.Range(first, last - first + 1).SelectMany(power => steps.Select(step => step * Math.Pow(10, power))).Where(tick => tick >= least && tick <= most)];
    }
}
