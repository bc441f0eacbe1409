package lnconform.kmp;

import fr.acinq.bitcoin.PublicKey;
import fr.acinq.bitcoin.io.ByteArrayInput;
import fr.acinq.bitcoin.io.ByteArrayOutput;
import fr.acinq.bitcoin.io.Input;
import fr.acinq.bitcoin.io.Output;
import fr.acinq.lightning.wire.GenericTlv;
import fr.acinq.lightning.wire.LightningCodecs;
import fr.acinq.lightning.wire.Tlv;
import fr.acinq.lightning.wire.TlvStream;
import fr.acinq.lightning.wire.TlvStreamSerializer;
import fr.acinq.lightning.wire.TlvValueReader;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;

/** BigSize and TLV streams, by lightning-kmp's readers and writers. */
final class Tlvs {
    private Tlvs() {}

    /** A record whose value is kept as it is. lightning-kmp's own takes odd types only. */
    static final class Raw implements Tlv {
        private final long tag;
        private final byte[] value;

        Raw(long tag, byte[] value) {
            this.tag = tag;
            this.value = value;
        }

        @Override
        public long getTag() {
            return tag;
        }

        @Override
        public void write(Output out) {
            LightningCodecs.writeBytes(value, out);
        }

        @Override
        public byte[] write() {
            return value.clone();
        }

        // A stream keeps its records as a set.
        @Override
        public boolean equals(Object other) {
            return other instanceof Raw raw
                    && raw.tag == tag
                    && java.util.Arrays.equals(raw.value, value);
        }

        @Override
        public int hashCode() {
            return Long.hashCode(tag) * 31 + java.util.Arrays.hashCode(value);
        }
    }

    /** A reader of one record's value. */
    private static <T extends Tlv> TlvValueReader<T> reader(Function<Input, T> read) {
        return new TlvValueReader<>() {
            @Override
            public T read(Input input) {
                return read.apply(input);
            }

            @Override
            public T read(byte[] bytes) {
                return read.apply(new ByteArrayInput(bytes));
            }

            @Override
            public T read(String hex) {
                return read(HexFormat.of().parseHex(hex));
            }
        };
    }

    private static TlvValueReader<Tlv> raw(long tag) {
        return reader(input -> new Raw(tag, LightningCodecs.bytes(input, input.getAvailableBytes())));
    }

    /** The records of a stream that lightning-kmp has read, as it writes them. */
    static List<Object> shown(TlvStream<?> stream) {
        List<Tlv> all = new ArrayList<>(stream.getRecords());
        all.addAll(stream.getUnknown());
        // The stream has two sets; its writer puts them into order, as this does.
        all.sort((a, b) -> Long.compareUnsigned(a.getTag(), b.getTag()));
        return Result.each(all, tlv -> {
            ByteArrayOutput out = new ByteArrayOutput();
            tlv.write(out);
            return new Result()
                    .with("type", Result.decimal(tlv.getTag()))
                    .with("value", Result.hex(out.toByteArray()))
                    .done();
        });
    }

    /** The records in a param, as a stream. */
    static TlvStream<Tlv> stream(Params params, String name) {
        Set<Tlv> records = new LinkedHashSet<>();
        for (Params record : params.objects(name)) {
            records.add(new Raw(record.u64("type"), record.bytes("value")));
        }
        return new TlvStream<>(records, Set.<GenericTlv>of());
    }

    static Map<String, Object> bigsizeDecode(Params params) {
        ByteArrayInput input = new ByteArrayInput(params.bytes("bytes"));
        long value;
        try {
            value = LightningCodecs.bigSize(input);
        } catch (Throwable e) {
            throw Fail.refused("bigsize", e);
        }
        byte[] rest = LightningCodecs.bytes(input, input.getAvailableBytes());
        return new Result()
                .with("value", Result.decimal(value))
                .with("rest", Result.hex(rest))
                .done();
    }

    static Map<String, Object> bigsizeEncode(Params params) {
        long value = params.u64("value");
        ByteArrayOutput out = new ByteArrayOutput();
        try {
            LightningCodecs.INSTANCE.writeBigSize(value, out);
        } catch (Throwable e) {
            throw Fail.refused("bigsize", e);
        }
        return new Result().with("bytes", Result.hex(out.toByteArray())).done();
    }

    static Map<String, Object> decode(Params params) {
        byte[] bytes = params.bytes("stream");
        Map<Long, TlvValueReader<Tlv>> known = new HashMap<>();
        for (long tag : params.numbers("known")) {
            known.put(tag, raw(tag));
        }
        TlvStream<Tlv> stream;
        try {
            stream = new TlvStreamSerializer<>(false, known).read(bytes);
        } catch (Throwable e) {
            throw Fail.refused("stream", e);
        }
        return new Result().with("records", shown(stream)).done();
    }

    static Map<String, Object> encode(Params params) {
        long last = 0;
        boolean first = true;
        for (Params record : params.objects("records")) {
            long tag = record.u64("type");
            if (!first && Long.compareUnsigned(tag, last) <= 0) {
                throw Fail.unsupported(
                        "lightning-kmp takes records as a set and puts them into order: it is given none");
            }
            last = tag;
            first = false;
        }
        TlvStream<Tlv> stream = stream(params, "records");
        byte[] bytes;
        try {
            bytes = new TlvStreamSerializer<Tlv>(false, Map.of()).write(stream);
        } catch (Throwable e) {
            throw Fail.refused("records", e);
        }
        return new Result().with("stream", Result.hex(bytes)).done();
    }

    /** A record of a made-up namespace: what is shown of it, and how it is written. */
    private static final class Field implements Tlv {
        final String name;
        final Map<String, Object> shown;
        private final long tag;
        private final byte[] value;

        Field(long tag, String name, Map<String, Object> shown, byte[] value) {
            this.tag = tag;
            this.name = name;
            this.shown = shown;
            this.value = value;
        }

        @Override
        public long getTag() {
            return tag;
        }

        @Override
        public void write(Output out) {
            LightningCodecs.writeBytes(value, out);
        }

        @Override
        public byte[] write() {
            return value.clone();
        }
    }

    /** One field of fixed or truncated numbers: what it reads, shows and writes again. */
    private interface Codec {
        void read(Input input, Result shown, ByteArrayOutput written);
    }

    private static TlvValueReader<Field> field(long tag, String name, Codec codec) {
        return reader(input -> {
            Result shown = new Result();
            ByteArrayOutput written = new ByteArrayOutput();
            codec.read(input, shown, written);
            return new Field(tag, name, shown.done(), written.toByteArray());
        });
    }

    private static void amount(Input input, Result shown, ByteArrayOutput written) {
        long value = LightningCodecs.tu64(input);
        LightningCodecs.writeTU64(value, written);
        shown.with("amount_msat", Result.decimal(value));
    }

    /** BOLT 1, appendix B: the namespaces n1 and n2, whose fields are read as lightning-kmp reads
     * the like in messages of its own. */
    static Map<String, Object> namespaceDecode(Params params) {
        byte[] bytes = params.bytes("stream");
        Map<Long, TlvValueReader<Field>> known = new HashMap<>();
        switch (params.text("namespace")) {
            case "n1" -> {
                known.put(1L, field(1, "tlv1", Tlvs::amount));
                known.put(2L, field(2, "tlv2", (input, shown, written) -> {
                    long id = LightningCodecs.u64(input);
                    LightningCodecs.writeU64(id, written);
                    String text = (id >>> 40) + "x" + (id >>> 16 & 0xffffff) + "x" + (id & 0xffff);
                    shown.with("scid", text);
                }));
                known.put(3L, field(3, "tlv3", (input, shown, written) -> {
                    PublicKey key = new PublicKey(LightningCodecs.bytes(input, 33));
                    long one = LightningCodecs.u64(input);
                    long two = LightningCodecs.u64(input);
                    LightningCodecs.writeBytes(key.value, written);
                    LightningCodecs.writeU64(one, written);
                    LightningCodecs.writeU64(two, written);
                    shown.with("node_id", key.toHex())
                            .with("amount_msat_1", Result.decimal(one))
                            .with("amount_msat_2", Result.decimal(two));
                }));
                known.put(254L, field(254, "tlv4", (input, shown, written) -> {
                    int delta = LightningCodecs.u16(input);
                    LightningCodecs.writeU16(delta, written);
                    shown.with("cltv_delta", delta);
                }));
            }
            case "n2" -> {
                known.put(0L, field(0, "tlv1", Tlvs::amount));
                known.put(11L, field(11, "tlv2", (input, shown, written) -> {
                    int value = LightningCodecs.tu32(input);
                    LightningCodecs.writeTU32(value, written);
                    shown.with("cltv_expiry", Integer.toUnsignedLong(value));
                }));
            }
            default -> throw Fail.invalid(
                    "param namespace is " + params.text("namespace") + ", not n1 or n2");
        }
        TlvStream<Field> stream;
        try {
            stream = new TlvStreamSerializer<>(false, known).read(bytes);
        } catch (Throwable e) {
            throw Fail.refused("stream", e);
        }
        Result fields = new Result();
        for (Field field : stream.getRecords()) {
            fields.with(field.name, field.shown);
        }
        return new Result()
                .with("records", shown(stream))
                .with("fields", fields.done())
                .done();
    }
}
