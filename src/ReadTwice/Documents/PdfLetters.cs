using UglyToad.PdfPig;
using UglyToad.PdfPig.Content;
using UglyToad.PdfPig.Core;
using UglyToad.PdfPig.Filters;
using UglyToad.PdfPig.Geometry;
using UglyToad.PdfPig.Graphics;
using UglyToad.PdfPig.Graphics.Colors;
using UglyToad.PdfPig.Graphics.Core;
using UglyToad.PdfPig.Graphics.Operations;
using UglyToad.PdfPig.Parser;
using UglyToad.PdfPig.PdfFonts;
using UglyToad.PdfPig.Tokenization.Scanner;
using UglyToad.PdfPig.Tokens;

namespace ReadTwice.Documents;

/// <summary>Plays a page's drawing for its letters alone: no colours, lines or pictures, and forms within forms only so deep and so often.</summary>
/// <remarks>What is not played cannot be made to run without end, which the library's own player can.</remarks>
internal sealed class PdfLetters(
    int page, IResourceStore resources, IPdfTokenScanner scanner, IPageContentParser parser, ILookupFilterProvider filters, CropBox crop,
    UserSpaceUnit unit, PageRotationDegrees rotation, TransformationMatrix matrix, ParsingOptions options)
    : BaseStreamProcessor<List<Letter>>(page, resources, scanner, parser, filters, crop, unit, rotation, matrix, options)
{
    private const int DeepestForm = 32, MostForms = 10_000;
    private const double Farthest = 1e6;

    private static readonly HashSet<string> operators =
        ["BT", "ET", "Tc", "Tw", "Tz", "TL", "Tf", "Tr", "Ts", "Td", "TD", "Tm", "T*", "Tj", "TJ", "'", "\"", "q", "Q", "cm", "gs", "Do"];

    private readonly List<Letter> letters = [];
    private int depth, forms;

    public override List<Letter> Process(int pageNumberCurrent, IReadOnlyList<IGraphicsStateOperation> operations)
    {
        CloneAllStates();
        ProcessOperations(operations);
        return letters;
    }

    public override void RenderGlyph(
        IFont font, CurrentGraphicsState currentState, double fontSize, double pointSize, int code, string unicode, long currentOffset,
        in TransformationMatrix renderingMatrix, in TransformationMatrix textMatrix, in TransformationMatrix transformationMatrix,
        CharacterBoundingBox characterBoundingBox)
    {
        var line = PerformantRectangleTransformer.Transform(
            in renderingMatrix, in textMatrix, in transformationMatrix, new PdfRectangle(0, 0, characterBoundingBox.Width, 1));
        var glyph = PerformantRectangleTransformer.Transform(in renderingMatrix, in textMatrix, in transformationMatrix, characterBoundingBox.GlyphBounds);
        if (!IsNear(line) || !IsNear(glyph)) return;
        if (glyph is { Width: 0, Height: 0 }) glyph = line;
        letters.Add(new(
            unicode, glyph, glyph, line.BottomLeft, line.BottomRight, line.Width, fontSize, font, TextRenderingMode.Fill,
            GrayColor.Black, GrayColor.Black, pointSize, TextSequence));
    }

    public override void BeginSubpath() { }
    public override PdfPoint? CloseSubpath() => null;
    public override void StrokePath(bool close) { }
    public override void FillPath(FillingRule fillingRule, bool close) { }
    public override void FillStrokePath(FillingRule fillingRule, bool close) { }
    public override void MoveTo(double x, double y) { }
    public override void BezierCurveTo(double x2, double y2, double x3, double y3) { }
    public override void BezierCurveTo(double x1, double y1, double x2, double y2, double x3, double y3) { }
    public override void LineTo(double x, double y) { }
    public override void Rectangle(double x, double y, double width, double height) { }
    public override void EndPath() { }
    public override void ClosePath() { }
    public override void ModifyClippingIntersect(FillingRule clippingRule) { }
    public override void BeginMarkedContent(NameToken name, NameToken? propertyDictionaryName, DictionaryToken? properties) { }
    public override void EndMarkedContent() { }
    public override void PaintShading(NameToken shadingName) { }
    protected override void ClipToRectangle(PdfRectangle rectangle, FillingRule clippingRule) { }
    protected override void RenderInlineImage(InlineImage inlineImage) { }
    protected override void RenderXObjectImage(XObjectContentRecord xObjectContentRecord) { }

    protected override void ProcessOperations(IReadOnlyList<IGraphicsStateOperation> operations) =>
        base.ProcessOperations([.. operations.Where(operation => operators.Contains(operation.Operator))]);

    protected override void ProcessFormXObject(StreamToken formStream, NameToken xObjectName)
    {
        if (depth == DeepestForm || ++forms > MostForms) return;
        depth++;
        base.ProcessFormXObject(formStream, xObjectName);
        depth--;
    }

    // Letters so far off the page are on none, and sizes beyond reason upset the finding of blocks.
    private static bool IsNear(PdfRectangle box) =>
        Math.Abs(box.Left) < Farthest && Math.Abs(box.Right) < Farthest && Math.Abs(box.Top) < Farthest && Math.Abs(box.Bottom) < Farthest;
}
