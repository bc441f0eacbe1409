package lnconform.kmp;

import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * JSON as the adapter protocol needs it: objects are {@link Map}, lists {@link List}, integers
 * that fit {@link Long}, other numbers {@link BigDecimal}, and {@code null} is {@link #NULL}. A
 * library would cost more at the start of the process than all of this.
 */
final class Json {
    /** JSON's null, so that Java's can mean "absent". */
    static final Object NULL = new Object();

    /** How deep lists and objects may lie in one another; far below what the stack holds. */
    private static final int DEPTH = 500;

    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    /** Reads a document; an {@link IllegalArgumentException} says what is wrong with it. */
    static Object parse(String text) {
        Json json = new Json(text);
        Object value = json.value(0);
        json.space();
        if (json.at < text.length()) {
            throw json.wrong("something after the end");
        }
        return value;
    }

    private IllegalArgumentException wrong(String what) {
        return new IllegalArgumentException("not JSON at character " + at + ": " + what);
    }

    private void space() {
        while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
    }

    private char peek() {
        if (at >= text.length()) {
            throw wrong("it ends early");
        }
        return text.charAt(at);
    }

    private void expect(char c) {
        if (peek() != c) {
            throw wrong("no " + c);
        }
        at++;
    }

    private Object value(int depth) {
        if (depth > DEPTH) {
            throw wrong("nested too deep");
        }
        space();
        switch (peek()) {
            case '{':
                return object(depth);
            case '[':
                return list(depth);
            case '"':
                return string();
            case 't':
                return word("true", Boolean.TRUE);
            case 'f':
                return word("false", Boolean.FALSE);
            case 'n':
                return word("null", NULL);
            default:
                return number();
        }
    }

    private Object word(String word, Object value) {
        if (!text.startsWith(word, at)) {
            throw wrong("no value");
        }
        at += word.length();
        return value;
    }

    private Map<String, Object> object(int depth) {
        Map<String, Object> fields = new LinkedHashMap<>();
        at++;
        space();
        if (peek() == '}') {
            at++;
            return fields;
        }
        while (true) {
            space();
            String name = string();
            space();
            expect(':');
            fields.put(name, value(depth + 1));
            space();
            if (peek() == '}') {
                at++;
                return fields;
            }
            expect(',');
        }
    }

    private List<Object> list(int depth) {
        List<Object> items = new ArrayList<>();
        at++;
        space();
        if (peek() == ']') {
            at++;
            return items;
        }
        while (true) {
            items.add(value(depth + 1));
            space();
            if (peek() == ']') {
                at++;
                return items;
            }
            expect(',');
        }
    }

    private String string() {
        expect('"');
        StringBuilder out = new StringBuilder();
        while (true) {
            char c = peek();
            at++;
            if (c == '"') {
                return out.toString();
            }
            if (c < 0x20) {
                throw wrong("a control character");
            }
            if (c != '\\') {
                out.append(c);
                continue;
            }
            char escape = peek();
            at++;
            int simple = "\"\\/bfnrt".indexOf(escape);
            if (simple >= 0) {
                out.append("\"\\/\b\f\n\r\t".charAt(simple));
            } else if (escape == 'u' && at + 4 <= text.length()) {
                String digits = text.substring(at, at + 4);
                if (!digits.chars().allMatch(d -> Character.digit(d, 16) >= 0 && d < 0x80)) {
                    throw wrong("no hexadecimal digits");
                }
                out.append((char) Integer.parseInt(digits, 16));
                at += 4;
            } else {
                throw wrong("an escape that is none");
            }
        }
    }

    private Object number() {
        int start = at;
        if (peek() == '-') {
            at++;
        }
        int digits = at;
        digits();
        if (at > digits + 1 && text.charAt(digits) == '0') {
            throw wrong("a number with a leading zero");
        }
        boolean whole = true;
        if (at < text.length() && text.charAt(at) == '.') {
            whole = false;
            at++;
            digits();
        }
        if (at < text.length() && "eE".indexOf(text.charAt(at)) >= 0) {
            whole = false;
            at++;
            if (at < text.length() && "+-".indexOf(text.charAt(at)) >= 0) {
                at++;
            }
            digits();
        }
        String number = text.substring(start, at);
        if (whole && number.length() <= 18) {
            return Long.parseLong(number);
        }
        // No number of the protocol is longer; turning a huge one into digits would take long.
        if (number.length() > 64) {
            throw wrong("a number of more than 64 characters");
        }
        return new BigDecimal(number);
    }

    private void digits() {
        int start = at;
        while (at < text.length() && text.charAt(at) >= '0' && text.charAt(at) <= '9') {
            at++;
        }
        if (at == start) {
            throw wrong("no value");
        }
    }

    /** Writes a value of maps, lists, strings, numbers and truth values, on one line. */
    static void write(Object value, StringBuilder out) {
        if (value instanceof Map<?, ?> fields) {
            char before = '{';
            for (Map.Entry<?, ?> field : fields.entrySet()) {
                out.append(before);
                before = ',';
                quote((String) field.getKey(), out);
                out.append(':');
                write(field.getValue(), out);
            }
            out.append(before == '{' ? "{}" : "}");
        } else if (value instanceof List<?> items) {
            char before = '[';
            for (Object item : items) {
                out.append(before);
                before = ',';
                write(item, out);
            }
            out.append(before == '[' ? "[]" : "]");
        } else if (value instanceof String text) {
            quote(text, out);
        } else {
            // A number or a truth value.
            out.append(value);
        }
    }

    private static void quote(String text, StringBuilder out) {
        out.append('"');
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c == '"' || c == '\\') {
                out.append('\\').append(c);
            } else if (c < 0x20 || Character.isSurrogate(c)) {
                // Half of a pair alone has no UTF-8; escaped, both halves and wholes do.
                out.append(String.format("\\u%04x", (int) c));
            } else {
                out.append(c);
            }
        }
        out.append('"');
    }
}
