package lnconform.kmp;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Function;

/** The harness's protocol: lines, requests, answers. */
final class Protocol {
    /** The version that is spoken. */
    private static final long VERSION = 1;

    /** The longest line, in bytes. A longer one is passed over. */
    private static final int MAX_LINE = 4 << 20;

    /** The largest id. */
    private static final long MAX_ID = (1L << 53) - 1;

    private static final String SOURCE = "https://github.com/ACINQ/lightning-kmp";

    /** The operations by name, without {@code hello} and {@code shutdown}. */
    private static final Map<String, Function<Params, Map<String, Object>>> OPERATIONS = new TreeMap<>();

    static {
        OPERATIONS.put("bigsize.decode", Tlvs::bigsizeDecode);
        OPERATIONS.put("bigsize.encode", Tlvs::bigsizeEncode);
        OPERATIONS.put("tlv.decode", Tlvs::decode);
        OPERATIONS.put("tlv.encode", Tlvs::encode);
        OPERATIONS.put("tlv.namespace.decode", Tlvs::namespaceDecode);
        OPERATIONS.put("bolt11.decode", Bolt11::decode);
        OPERATIONS.put("bolt12.offer.decode", Bolt12::offerDecode);
        OPERATIONS.put("bolt12.invoice_request.decode", Bolt12::invoiceRequestDecode);
        OPERATIONS.put("bolt12.invoice.decode", Bolt12::invoiceDecode);
        OPERATIONS.put("bolt12.invoice.match", Bolt12::invoiceMatch);
        OPERATIONS.put("bolt12.invoice_error.decode", Bolt12::invoiceErrorDecode);
        OPERATIONS.put("bolt12.sign", Bolt12::sign);
        OPERATIONS.put("bolt12.verify", Bolt12::verify);
        OPERATIONS.put("onion.build", Onion::build);
        OPERATIONS.put("onion.peel", Onion::peel);
        OPERATIONS.put("onion.peel_route", Onion::peelRoute);
        OPERATIONS.put("onion.failure.create", Onion::failureCreate);
        OPERATIONS.put("onion.failure.wrap", Onion::failureWrap);
        OPERATIONS.put("onion.failure.decode", Onion::failureDecode);
        OPERATIONS.put("trampoline.build", Onion::buildTrampoline);
        OPERATIONS.put("trampoline.peel", Onion::peel);
        OPERATIONS.put("blinded_path.build", Onion::pathBuild);
        OPERATIONS.put("blinded_path.unblind", Onion::pathUnblind);
    }

    /** Operations that somebody may ask for, and why they are not there. */
    private static final Map<String, String> LACKING = Map.of(
            "bolt12.offer.encode", "lightning-kmp writes offers from its node's settings, not from records",
            "bolt12.invoice_request.encode", "lightning-kmp writes requests with metadata that it draws, not from records",
            "bolt12.invoice.encode", "lightning-kmp writes invoices with a time and hash of its own, not from records",
            "bolt12.invoice_request.respond", "lightning-kmp tells requests for its own offers inside the node",
            "bolt12.merkle", "lightning-kmp shows the root alone, and only to what signs",
            "bolt12.refund.decode", "lightning-kmp has no refunds",
            "bolt12.static_invoice.decode", "lightning-kmp has no static invoices",
            "payer_proof.verify", "lightning-kmp has no payer proofs in this version",
            "payer_proof.create", "lightning-kmp has no payer proofs in this version");

    private final String version;

    Protocol(String version) {
        this.version = version;
    }

    /** Answers requests in their order until {@code shutdown} or the end of input. */
    void serve(InputStream in, PrintStream out) throws IOException {
        while (true) {
            // A pipelined batch costs few writes.
            if (in.available() == 0) {
                out.flush();
            }
            byte[] line = readLine(in);
            if (line == null) {
                break;
            }
            Map<?, ?> request = request(line);
            if (request == null) {
                continue;
            }
            String op = (String) request.get("op");
            Map<String, Object> answer = new LinkedHashMap<>();
            answer.put("id", request.get("id"));
            answer.putAll(answer(op, request.get("params")));
            StringBuilder text = new StringBuilder();
            Json.write(answer, text);
            out.write(text.append('\n').toString().getBytes(StandardCharsets.UTF_8));
            if (op.equals("shutdown")) {
                break;
            }
        }
        out.flush();
    }

    /** The next line without its end; empty where it was too long, {@code null} at the end of input. */
    private static byte[] readLine(InputStream in) throws IOException {
        ByteArrayOutputStream line = new ByteArrayOutputStream();
        boolean any = false;
        boolean tooLong = false;
        for (int b = in.read(); b >= 0; b = in.read()) {
            any = true;
            if (b == '\n') {
                break;
            }
            if (line.size() < MAX_LINE) {
                line.write(b);
            } else {
                tooLong = true;
            }
        }
        if (tooLong) {
            note("a line of more than " + MAX_LINE + " bytes was passed over");
            return new byte[0];
        }
        return any ? line.toByteArray() : null;
    }

    private static void note(String text) {
        System.err.println("kmp: " + text);
    }

    /** The request in a line; {@code null}, with a note, where it is none. */
    private static Map<?, ?> request(byte[] line) {
        try {
            // Strict: a replacement character would hide what is wrong.
            String text = StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(line)).toString();
            if (text.isBlank()) {
                return null;
            }
            if (Json.parse(text) instanceof Map<?, ?> request
                    && request.get("id") instanceof Long id && id >= 0 && id <= MAX_ID
                    && request.get("op") instanceof String) {
                return request;
            }
            note("a line is no request: it is no object with an integer id and a string op");
        } catch (CharacterCodingException e) {
            note("a line is no request: not UTF-8");
        } catch (IllegalArgumentException e) {
            note("a line is no request: " + e.getMessage());
        }
        return null;
    }

    /** What is answered beside the id. A fault, of lightning-kmp or here, is this request's alone. */
    Map<String, Object> answer(String op, Object params) {
        Map<String, Object> answer = new LinkedHashMap<>();
        try {
            answer.put("result", call(op, Params.of(params)));
        } catch (Fail fail) {
            if (fail.kind.equals("unsupported")) {
                answer.put("unsupported", new Result().with("reason", fail.getMessage()).done());
            } else {
                answer.put("error", new Result()
                        .with("kind", fail.kind)
                        .with("message", fail.getMessage())
                        .with("code", fail.code)
                        .done());
            }
        } catch (Throwable fault) {
            // Also an exhausted stack or memory: the next request may fare better.
            String where = fault.getStackTrace().length == 0 ? "" : " at " + fault.getStackTrace()[0];
            note(op + " failed: " + fault + where);
            answer.clear();
            answer.put("error", new Result()
                    .with("kind", "internal")
                    .with("message", op + " failed: " + fault)
                    .done());
        }
        return answer;
    }

    private Map<String, Object> call(String op, Params params) {
        if (op.equals("hello")) {
            return hello(params);
        }
        if (op.equals("shutdown")) {
            return Map.of();
        }
        Function<Params, Map<String, Object>> operation = OPERATIONS.get(op);
        if (operation == null) {
            throw Fail.unsupported(
                    LACKING.getOrDefault(op, "this adapter of lightning-kmp has no operation " + op));
        }
        return operation.apply(params);
    }

    private Map<String, Object> hello(Params params) {
        long asked = params.u32("protocol");
        if (asked < VERSION) {
            throw Fail.invalid("protocol " + asked + " was asked for; this adapter speaks "
                    + VERSION + " at the least");
        }
        SelfCheck.sign();
        return new Result()
                .with("implementation", new Result()
                        .with("name", "kmp")
                        .with("version", version)
                        .with("language", "Kotlin")
                        .with("source", SOURCE)
                        .done())
                .with("protocol", VERSION)
                .with("operations", new ArrayList<Object>(OPERATIONS.keySet()))
                .with("dialects", List.of("trampoline/acinq-legacy"))
                .done();
    }
}
