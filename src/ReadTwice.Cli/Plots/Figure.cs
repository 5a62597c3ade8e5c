using ScottPlot;
using SkiaSharp;

namespace ReadTwice.Cli.Plots;

/// <summary>Panels side by side with one legend for all, drawn to a PNG or SVG file.</summary>
internal sealed record Figure(params IReadOnlyList<Panel> Panels)
{
    private const int PanelWidth = 620, AloneWidth = 860, Height = 560, LegendMargin = 70, TickMargin = 36;   // half of a label of the last tick
    private const float LegendFont = 14;

    // The first of these that the machine has.
    private static readonly string Font = new[] { "Arial", "Helvetica", "DejaVu Sans", "Liberation Sans" }
        .FirstOrDefault(SKFontManager.Default.FontFamilies.Contains, SKTypeface.Default.FamilyName);

    /// <summary>Draws the figure in the format that the path's extension names.</summary>
    /// <exception cref="ArgumentException">The extension is neither .png nor .svg.</exception>
    public void Save(string path)
    {
        string extension = RequirePicture(path);
        var names = Panels.SelectMany(panel => panel.Lines).Select(line => line.Name).Distinct().ToList();
        IPalette palette = names.Count <= 10 ? new ScottPlot.Palettes.Category10() : new ScottPlot.Palettes.Category20();
        var colors = names.Select((name, i) => (name, Color: palette.GetColor(i))).ToDictionary(pair => pair.name, pair => pair.Color);
        int width = Panels.Count == 1 ? AloneWidth : PanelWidth, plots = width * Panels.Count, all = plots + LegendWidth(names);
        AtomicFile.Write(path, stream =>
        {
            if (extension == ".svg")
            {
                using var canvas = SKSvgCanvas.Create(SKRect.Create(all, Height), stream);
                Draw(canvas);
                return;
            }
            using var surface = SKSurface.Create(new SKImageInfo(all, Height));
            Draw(surface.Canvas);
            using var image = surface.Snapshot();
            using var data = image.Encode(SKEncodedImageFormat.Png, 100);
            data.SaveTo(stream);
        });

        void Draw(SKCanvas canvas)
        {
            canvas.Clear(SKColors.White);
            for (int i = 0; i < Panels.Count; i++)
            {
                using var plot = Panels[i].Draw(colors);
                Place(plot, i * width, (i + 1) * width - TickMargin);
            }
            using var legend = Legend(names, colors);
            Place(legend, plots, all);

            // Each would wipe off those before it.
            void Place(Plot plot, int left, int right)
            {
                plot.RenderManager.ClearCanvasBeforeEachRender = false;
                plot.Font.Set(Font);
                plot.Render(canvas, new PixelRect(left, right, Height, 0));
            }
        }
    }

    /// <summary>The extension of a path for a picture.</summary>
    /// <exception cref="ArgumentException">The extension is neither .png nor .svg.</exception>
    public static string RequirePicture(string path)
    {
        string extension = Path.GetExtension(path).ToLowerInvariant();
        return extension is ".png" or ".svg" ? extension : throw new ArgumentException($"{path}: a plot is drawn as .png or .svg, not \"{extension}\".");
    }

    // Beside the panels, where it can cover no line.
    private static Plot Legend(List<string> names, Dictionary<string, Color> colors)
    {
        var plot = new Plot();
        plot.Layout.Frameless();
        plot.HideGrid();
        (plot.Legend.FontSize, plot.Legend.FontName, plot.Legend.OutlineWidth, plot.Legend.ShadowColor) = (LegendFont, Font, 0, Colors.Transparent);
        plot.ShowLegend(names.Select(name => new LegendItem { LabelText = name, LineColor = colors[name], LineWidth = 3 }), Alignment.MiddleLeft);
        return plot;
    }

    private static int LegendWidth(List<string> names)
    {
        using var font = new SKFont(SKTypeface.FromFamilyName(Font), LegendFont);
        return LegendMargin + (int)names.Select(name => font.MeasureText(name)).DefaultIfEmpty(0).Max();
    }
}
