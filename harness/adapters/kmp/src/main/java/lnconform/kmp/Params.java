package lnconform.kmp;

import fr.acinq.bitcoin.ByteVector;
import fr.acinq.bitcoin.ByteVector32;
import fr.acinq.bitcoin.PrivateKey;
import fr.acinq.bitcoin.PublicKey;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;

/**
 * The params of a request, or one object of a list in them. What is missing or ill-typed is a
 * {@link Fail} of kind {@code invalid} that names it.
 */
final class Params {
    private static final BigInteger LIMIT = BigInteger.ONE.shiftLeft(64);

    private final Map<?, ?> fields;

    private Params(Map<?, ?> fields) {
        this.fields = fields;
    }

    /** The params themselves; {@code null} where the request has none. */
    static Params of(Object value) {
        if (value == null) {
            return new Params(Map.of());
        }
        if (value instanceof Map<?, ?> fields) {
            return new Params(fields);
        }
        throw Fail.invalid("params are no object");
    }

    boolean has(String name) {
        return fields.containsKey(name);
    }

    private Object get(String name) {
        Object value = fields.get(name);
        if (value == null) {
            throw Fail.invalid("param " + name + " is missing");
        }
        return value;
    }

    String text(String name) {
        if (get(name) instanceof String text) {
            return text;
        }
        throw Fail.invalid("param " + name + " is no string");
    }

    byte[] bytes(String name) {
        return hex(name, text(name));
    }

    /** Exactly so many bytes. */
    byte[] bytes(String name, int length) {
        byte[] bytes = bytes(name);
        if (bytes.length != length) {
            throw Fail.invalid(
                    "param " + name + " has " + bytes.length + " bytes, not " + length);
        }
        return bytes;
    }

    ByteVector vector(String name) {
        return new ByteVector(bytes(name));
    }

    ByteVector32 bytes32(String name) {
        return new ByteVector32(bytes(name, 32));
    }

    /** A number of 64 bits, as Java keeps one: the upper half is negative. */
    long u64(String name) {
        return u64(name, get(name));
    }

    /** A number of up to 32 bits. */
    long u32(String name) {
        if (get(name) instanceof Long number && number >= 0 && number < 1L << 32) {
            return number;
        }
        throw Fail.invalid("param " + name + " is no number of 32 bits");
    }

    PrivateKey secret(String name) {
        PrivateKey key = new PrivateKey(bytes(name, 32));
        if (!key.isValid()) {
            throw Fail.invalid("param " + name + " is no secret key of secp256k1");
        }
        return key;
    }

    /** A compressed key, on the curve: nothing that is computed with another says anything. */
    PublicKey key(String name) {
        PublicKey key = new PublicKey(bytes(name, 33));
        if (!key.isValid()) {
            throw Fail.invalid("param " + name + " is no point of secp256k1");
        }
        return key;
    }

    private List<?> list(String name) {
        if (get(name) instanceof List<?> list) {
            return list;
        }
        throw Fail.invalid("param " + name + " is no list");
    }

    List<Params> objects(String name) {
        List<Params> all = new ArrayList<>();
        for (Object item : list(name)) {
            if (!(item instanceof Map<?, ?> fields)) {
                throw Fail.invalid("param " + name + " has an entry that is no object");
            }
            all.add(new Params(fields));
        }
        return all;
    }

    List<Long> numbers(String name) {
        List<Long> all = new ArrayList<>();
        for (Object item : list(name)) {
            all.add(u64(name, item));
        }
        return all;
    }

    List<byte[]> hexes(String name) {
        List<byte[]> all = new ArrayList<>();
        for (Object item : list(name)) {
            if (!(item instanceof String text)) {
                throw Fail.invalid("param " + name + " has an entry that is no string");
            }
            all.add(hex(name, text));
        }
        return all;
    }

    private static byte[] hex(String name, String text) {
        try {
            return HexFormat.of().parseHex(text);
        } catch (IllegalArgumentException e) {
            throw Fail.invalid("param " + name + " is not hex");
        }
    }

    private static long u64(String name, Object value) {
        if (value instanceof String text
                && !text.isEmpty()
                && text.length() <= 20
                && text.chars().allMatch(c -> c >= '0' && c <= '9')) {
            BigInteger number = new BigInteger(text);
            if (number.compareTo(LIMIT) < 0) {
                return number.longValue();
            }
        }
        throw Fail.invalid("param " + name + " is no decimal number of 64 bits");
    }
}
