using System.ComponentModel;
using System.Diagnostics;
using ReadTwice.Kernels.Cuda;

namespace ReadTwice.Tests.Cuda;

public class CudaModuleTests
{
    [Fact]
    public void The_committed_PTX_is_what_the_sources_compile_to()
    {
        if (Folder() is not { } root)
        {
            Assert.Skip("The sources are not beside the tests.");
            return;
        }
        Assert.SkipUnless(HasClang(), "clang-19 is absent: apt-get install clang-19.");
        using var folder = new TemporaryFolder();
        using var compiler = Process.Start(new ProcessStartInfo(Path.Combine(root, "build", "ptx.sh"), folder.Path) { RedirectStandardError = true })!;
        string errors = compiler.StandardError.ReadToEnd();
        compiler.WaitForExit();
        Assert.True(compiler.ExitCode == 0, errors);
        Assert.Equal(CudaModule.Names.Order(), Directory.GetFiles(folder.Path).Select(Path.GetFileNameWithoutExtension).Order());
        foreach (string module in CudaModule.Names)
            Assert.True(File.ReadAllText(Path.Combine(folder.Path, $"{module}.ptx")) == CudaModule.Ptx(module), $"{module}.ptx is not of this {module}.cu; run build/ptx.sh");
    }

    [Fact]
    public void Every_kernel_uses_only_what_the_interpreter_checks()
    {
        foreach (string module in CudaModule.Names)
        {
            string ptx = CudaModule.Ptx(module);
            Assert.Contains(".target sm_80", ptx);
            Assert.DoesNotContain(".local", ptx);   // arrays that did not find room in registers
            foreach (string kernel in PtxParser.Kernels(ptx)) Assert.NotEmpty(PtxParser.Parse(ptx, kernel).Code);
        }
    }

    /// <summary>The checkout these tests were built from, or null.</summary>
    internal static string? Folder()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
            if (File.Exists(Path.Combine(folder.FullName, "ReadTwice.slnx"))) return folder.FullName;
        return null;
    }

    private static bool HasClang()
    {
        try
        {
            using var clang = Process.Start(new ProcessStartInfo("clang-19", "--version") { RedirectStandardOutput = true })!;
            string version = clang.StandardOutput.ReadToEnd();
            clang.WaitForExit();
            return version.Contains("version 19.1.");
        }
        catch (Win32Exception)
        {
            return false;
        }
    }
}
