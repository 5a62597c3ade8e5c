using System.Diagnostics.CodeAnalysis;
using UglyToad.PdfPig;
using UglyToad.PdfPig.Content;
using UglyToad.PdfPig.Core;
using UglyToad.PdfPig.Filters;
using UglyToad.PdfPig.Geometry;
using UglyToad.PdfPig.Graphics.Colors;
using UglyToad.PdfPig.Graphics.Operations;
using UglyToad.PdfPig.Outline.Destinations;
using UglyToad.PdfPig.Parser;
using UglyToad.PdfPig.PdfFonts;
using UglyToad.PdfPig.Tokenization.Scanner;
using UglyToad.PdfPig.Tokens;

namespace ReadTwice.Documents;

/// <summary>Makes a page of a PDF into its letters; the library builds one of these itself, by its constructor.</summary>
internal sealed class PdfPages(
    IPdfTokenScanner scanner, IResourceStore resources, ILookupFilterProvider filters, IPageContentParser parser, ParsingOptions options)
    : BasePageFactory<List<Letter>>(scanner, new TextResources(resources), filters, parser, options)
{
    protected override List<Letter> ProcessPage(
        int pageNumber, DictionaryToken dictionary, NamedDestinations namedDestinations, MediaBox mediaBox, CropBox cropBox,
        UserSpaceUnit userSpaceUnit, PageRotationDegrees rotation, TransformationMatrix initialMatrix,
        IReadOnlyList<IGraphicsStateOperation> operations) =>
        new PdfLetters(
            pageNumber, ResourceStore, PdfScanner, PageContentParser, FilterProvider, cropBox, userSpaceUnit, rotation, initialMatrix,
            ParsingOptions).Process(pageNumber, operations);

    /// <summary>What text needs of a page's resources: the rest is not looked at.</summary>
    private sealed class TextResources(IResourceStore all) : IResourceStore
    {
        public void LoadResourceDictionary(DictionaryToken resourceDictionary) => all.LoadResourceDictionary(
            resourceDictionary.Without(NameToken.ColorSpace).Without(NameToken.Pattern).Without(NameToken.Shading));

        public void UnloadResourceDictionary() => all.UnloadResourceDictionary();

        public IFont? GetFont(NameToken name) => all.GetFont(name);

        public IFont GetFontDirectly(IndirectReferenceToken fontReferenceToken) => all.GetFontDirectly(fontReferenceToken);

        public bool TryGetXObject(NameToken name, [NotNullWhen(true)] out StreamToken? stream) => all.TryGetXObject(name, out stream);

        public bool TryGetXObjectReference(NameToken name, out IndirectReference reference) => all.TryGetXObjectReference(name, out reference);

        public DictionaryToken? GetExtendedGraphicsStateDictionary(NameToken name) => all.GetExtendedGraphicsStateDictionary(name);

        public DictionaryToken? GetMarkedContentPropertiesDictionary(NameToken name) => null;

        public bool TryGetNamedColorSpace(NameToken? name, out ResourceColorSpace namedColorSpace)
        {
            namedColorSpace = default;
            return false;
        }

        public ColorSpaceDetails GetColorSpaceDetails(NameToken? name, DictionaryToken? dictionary) => DeviceGrayColorSpaceDetails.Instance;

        public ColorSpaceDetails GetDeviceColorSpaceDetails(ColorSpace deviceColorSpace) => DeviceGrayColorSpaceDetails.Instance;

        public IReadOnlyDictionary<NameToken, PatternColor> GetPatterns() => new Dictionary<NameToken, PatternColor>();

        public Shading GetShading(NameToken name) => throw new NotSupportedException("no shading is painted where only letters are read.");
    }
}
