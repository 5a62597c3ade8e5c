using ReadTwice.Checkpoints;

namespace ReadTwice.Tests.Checkpoints;

/// <summary>Damages files at random, always in the same way, and asks that what reads them succeeds or refuses them.</summary>
internal static class Fuzz
{
    private static byte sum;

    public static void Files(byte[] whole, int seed, int rounds)
    {
        using var folder = new TempFolder();
        var random = new Random(seed);
        int refused = 0;
        for (int round = 0; round < rounds; round++)
        {
            byte[] damaged = Damage(whole, random);
            // A new file each time: some disks flush a file that is written over.
            string path = folder.Write($"{round}.bin", damaged);
            try
            {
                using var weights = WeightFiles.Open(path);
                foreach (var tensor in weights.Tensors.Values) Touch(tensor);
            }
            catch (InvalidDataException refusal)
            {
                refused++;
                Assert.DoesNotContain('\n', refusal.Message);
            }
            catch (Exception other)
            {
                Assert.Fail($"round {round}: {Convert.ToBase64String(damaged)} gives {other}");
            }
            File.Delete(path);
        }
        Assert.InRange(refused, 1, rounds - 1);
    }

    /// <summary>Reads every byte a tensor spans: memory that is not the file's would end the process.</summary>
    public static unsafe void Touch(StoredTensor tensor)
    {
        for (long i = 0; i < tensor.ByteLength; i++) sum += tensor.Data[i];
    }

    private static byte[] Damage(byte[] whole, Random random)
    {
        byte[] damaged = [.. whole];
        int kind = random.Next(8);
        if (kind == 0) return damaged[..random.Next(whole.Length)];
        if (kind == 1) return [.. damaged[..random.Next(whole.Length)], .. damaged[random.Next(whole.Length)..]];
        for (int flips = kind == 2 ? random.Next(1, 20) : 1; flips > 0; flips--)
        {
            int at = random.Next(whole.Length);
            damaged[at] = random.Next(3) switch
            {
                0 => (byte)(damaged[at] ^ (1 << random.Next(8))),
                1 => (byte)(random.Next(2) * 255),
                _ => (byte)random.Next(256),
            };
        }
        return damaged;
    }
}
