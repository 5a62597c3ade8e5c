using System.Runtime.InteropServices;

namespace ReadTwice.Tests.Cuda;

/// <summary>
/// The shared memory of a block: errors are accesses out of bounds, reads of what nobody wrote or of what a copy in flight
/// will write, and two warps at one word, one of them writing, without a barrier between.
/// </summary>
internal sealed class PtxSharedMemory(int bytes)
{
    private const int Nobody = -1, Many = -2;
    private readonly Word[] words = NewWords(bytes);
    private int epoch = 1;

    public byte[] Bytes { get; } = new byte[bytes];

    /// <summary>Every warp has come to the barrier: what was done before is visible to all after.</summary>
    public void Barrier() => epoch++;

    public ReadOnlySpan<byte> Read(uint address, int count, int warp, PtxInstruction instruction)
    {
        foreach (ref var word in Words(address, count, instruction))
        {
            if (word.Copies > 0) throw instruction.Error($"warp {warp} reads shared memory at {address} while a copy to it is in flight");
            if (!word.IsWritten) throw instruction.Error($"warp {warp} reads shared memory at {address} that nobody wrote");
            if (word.WriteEpoch == epoch && word.Writer != warp)
                throw instruction.Error($"warp {warp} reads shared memory at {address} that warp {word.Writer} wrote with no barrier between");
            word.Reader = word.ReadEpoch == epoch && word.Reader != warp ? Many : warp;
            word.ReadEpoch = epoch;
        }
        return Bytes.AsSpan((int)address, count);
    }

    public Span<byte> Write(uint address, int count, int warp, PtxInstruction instruction)
    {
        CheckWrite(address, count, warp, instruction);
        foreach (ref var word in Words(address, count, instruction)) (word.WriteEpoch, word.Writer, word.IsWritten) = (epoch, warp, true);
        return Bytes.AsSpan((int)address, count);
    }

    /// <summary>A copy to shared memory has begun; until it lands nobody may read there.</summary>
    public void BeginCopy(uint address, int count, int warp, PtxInstruction instruction)
    {
        CheckWrite(address, count, warp, instruction);
        foreach (ref var word in Words(address, count, instruction)) word.Copies++;
    }

    public void EndCopy(PtxCopy copy, int warp, PtxInstruction instruction)
    {
        foreach (ref var word in Words(copy.To, 16, instruction))
        {
            word.Copies--;
            (word.WriteEpoch, word.Writer, word.IsWritten) = (epoch, warp, true);
        }
        MemoryMarshal.Write(Bytes.AsSpan((int)copy.To), copy.Data);
    }

    private void CheckWrite(uint address, int count, int warp, PtxInstruction instruction)
    {
        foreach (ref var word in Words(address, count, instruction))
        {
            if (word.Copies > 0) throw instruction.Error($"warp {warp} writes shared memory at {address} while a copy to it is in flight");
            if (word.WriteEpoch == epoch && word.Writer != warp)
                throw instruction.Error($"warps {word.Writer} and {warp} write shared memory at {address} with no barrier between");
            if (word.ReadEpoch == epoch && word.Reader != warp)
                throw instruction.Error($"warp {warp} overwrites shared memory at {address} that another warp read with no barrier between");
        }
    }

    private Span<Word> Words(uint address, int count, PtxInstruction instruction)
    {
        if (address + (ulong)count > (ulong)Bytes.Length)
            throw instruction.Error($"shared access out of bounds: {count} bytes at {address} of {Bytes.Length}");
        if (address % (uint)count != 0) throw instruction.Error($"shared address {address} is not a multiple of {count}");
        return words.AsSpan((int)address / 4, Math.Max(1, count / 4));
    }

    private static Word[] NewWords(int bytes)
    {
        var words = new Word[(bytes + 3) / 4];
        Array.Fill(words, new Word { Writer = Nobody, Reader = Nobody });
        return words;
    }

    private struct Word
    {
        public int WriteEpoch, Writer, ReadEpoch, Reader, Copies;
        public bool IsWritten;
    }
}
