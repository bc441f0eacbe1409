package lnconform.kmp;

import fr.acinq.bitcoin.ByteVector;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The object of a result; what is {@code null} is left out. */
final class Result {
    private final Map<String, Object> fields = new LinkedHashMap<>();

    Result with(String name, Object value) {
        if (value != null) {
            fields.put(name, value);
        }
        return this;
    }

    Map<String, Object> done() {
        return fields;
    }

    static String hex(byte[] bytes) {
        return HexFormat.of().formatHex(bytes);
    }

    static String hex(ByteVector bytes) {
        return bytes.toHex();
    }

    /** A number of 64 bits, whose upper half is negative in Java. */
    static String decimal(long value) {
        return Long.toUnsignedString(value);
    }

    /** One value for each item, in order. */
    static <T> List<Object> each(Iterable<T> items, java.util.function.Function<T, Object> show) {
        List<Object> all = new ArrayList<>();
        for (T item : items) {
            all.add(show.apply(item));
        }
        return all;
    }
}
