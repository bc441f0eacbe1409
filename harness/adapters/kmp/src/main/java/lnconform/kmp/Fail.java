package lnconform.kmp;

/** An answer that is no result. */
final class Fail extends RuntimeException {
    private static final long serialVersionUID = 1L;

    /** The protocol's kind of an error, or {@code unsupported}. */
    final String kind;

    /** The failure code of BOLT 4, where there is one. */
    Integer code;

    private Fail(String kind, String message) {
        // No trace: these are answers, and there are many.
        super(message, null, false, false);
        this.kind = kind;
    }

    /** Wrong from the bytes alone, params included. */
    static Fail invalid(String message) {
        return new Fail("invalid", message);
    }

    /** With a failure code of BOLT 4. */
    Fail code(int code) {
        this.code = code;
        return this;
    }

    /** Well formed, and refused by time, state or policy. */
    static Fail rejected(String message) {
        return new Fail("rejected", message);
    }

    /** What lightning-kmp does not have. */
    static Fail unsupported(String reason) {
        return new Fail("unsupported", reason);
    }

    /** What lightning-kmp says about {@code what}, in its own words. */
    static Fail refused(String what, Throwable by) {
        if (by instanceof Fail fail) {
            return fail;
        }
        if (by instanceof Error error) {
            // No refusal but a fault: the stack, the memory, a class that is not there.
            throw error;
        }
        String said = by.getMessage();
        String name = by.getClass().getSimpleName();
        if (said == null) {
            return invalid(what + ": " + name);
        }
        // Where lightning-kmp shows an array, Java prints where it lies in memory, which nobody can compare.
        return invalid(what + ": " + name + ": " + said.replaceAll("\\[B@[0-9a-f]+", "bytes"));
    }
}
