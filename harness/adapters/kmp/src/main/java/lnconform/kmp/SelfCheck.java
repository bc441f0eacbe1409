package lnconform.kmp;

import fr.acinq.bitcoin.Bech32;
import fr.acinq.bitcoin.ByteVector;
import fr.acinq.bitcoin.ByteVector32;
import fr.acinq.bitcoin.ByteVector64;
import fr.acinq.bitcoin.PrivateKey;
import fr.acinq.bitcoin.PublicKey;
import fr.acinq.lightning.CltvExpiryDelta;
import fr.acinq.lightning.Features;
import fr.acinq.lightning.MilliSatoshi;
import fr.acinq.lightning.crypto.RouteBlinding;
import fr.acinq.lightning.payment.Bolt12Invoice;
import fr.acinq.lightning.wire.OfferTypes;
import fr.acinq.lightning.wire.OfferTypes.InvoiceRequest;
import fr.acinq.lightning.wire.OfferTypes.Offer;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * What is tried when the adapter is installed: each part answers right input and refuses wrong
 * input. A library that the list of libraries lacks shows itself here, and not in a run.
 */
final class SelfCheck {
    private SelfCheck() {}

    /** The secret key one, whose public key is the generator of the curve. */
    private static final PrivateKey NODE = new PrivateKey(HexFormat.of().parseHex("00".repeat(31) + "01"));

    private static final PrivateKey PAYER = new PrivateKey(HexFormat.of().parseHex("11".repeat(32)));

    /** A signature: without the native library nothing else would show that it is missing. */
    static void sign() {
        ByteVector32 message = ByteVector32.One;
        ByteVector64 signature = OfferTypes.INSTANCE.signSchnorr(message, message, PAYER);
        if (!OfferTypes.INSTANCE.verifySchnorr(message, message, signature, PAYER.publicKey())) {
            throw new IllegalStateException("a signature of its own does not verify");
        }
    }

    private static String params(Object... pairs) {
        Result params = new Result();
        for (int i = 0; i < pairs.length; i += 2) {
            params.with((String) pairs[i], pairs[i + 1]);
        }
        StringBuilder text = new StringBuilder();
        Json.write(params.done(), text);
        return text.toString();
    }

    /** Asks, and wants a result that contains {@code wanted}; {@code null} wants a refusal. */
    private static void expect(Protocol protocol, String wanted, String op, Object... pairs) {
        String params = params(pairs);
        Map<String, Object> answer = protocol.answer(op, Json.parse(params));
        StringBuilder text = new StringBuilder();
        Json.write(answer, text);
        String got = text.toString();
        boolean right = wanted == null
                ? got.startsWith("{\"error\":{\"kind\":\"invalid\"")
                : got.startsWith("{\"result\":") && got.contains(wanted);
        if (!right) {
            throw new IllegalStateException(op + " " + params + " is answered by " + got);
        }
    }

    /** The same with one bit of the last byte turned. */
    private static String flipped(byte[] bytes) {
        byte[] other = bytes.clone();
        other[other.length - 1] ^= 1;
        return Result.hex(other);
    }

    static void run(String version) {
        sign();
        Protocol protocol = new Protocol(version);
        expect(protocol, "\"value\":\"253\",\"rest\":\"01\"", "bigsize.decode", "bytes", "fd00fd01");
        expect(protocol, null, "bigsize.decode", "bytes", "fd00fc");
        expect(protocol, "\"type\":\"1\"", "tlv.decode", "stream", "0100", "known", List.of());
        expect(protocol, null, "tlv.decode", "stream", "0200", "known", List.of());
        expect(protocol, null, "bolt11.decode", "invoice", "lnbc1");

        String key = NODE.publicKey().toHex();
        String text = Bech32.encodeBytes("lno", HexFormat.of().parseHex("1621" + key),
                Bech32.Encoding.Beck32WithoutChecksum);
        expect(protocol, key, "bolt12.offer.decode", "offer", text);
        expect(protocol, null, "bolt12.offer.decode", "offer", text + "q");

        Offer offer = Offer.Companion.decode(text).get();
        InvoiceRequest request = InvoiceRequest.Companion.invoke(offer, new MilliSatoshi(1000), 1,
                Features.Companion.getEmpty(), PAYER, null, offer.getChains().get(0), Set.of(), Set.of());
        byte[] asked = InvoiceRequest.Companion.getTlvSerializer().write(request.getRecords());
        expect(protocol, "\"invreq_amount\":\"1000\"", "bolt12.invoice_request.decode",
                "bytes", Result.hex(asked));
        expect(protocol, null, "bolt12.invoice_request.decode", "bytes", flipped(asked));

        List<PublicKey> nodes = List.of(NODE.publicKey());
        RouteBlinding.BlindedRoute route =
                RouteBlinding.INSTANCE.create(PAYER, nodes, List.of(new ByteVector("00"))).getRoute();
        var path = new Bolt12Invoice.Companion.PaymentBlindedContactInfo(
                new OfferTypes.ContactInfo.BlindedPath(route),
                new OfferTypes.PaymentInfo(new MilliSatoshi(1), 2, new CltvExpiryDelta(3),
                        new MilliSatoshi(4), new MilliSatoshi(5), Features.Companion.getEmpty()));
        Bolt12Invoice invoice = Bolt12Invoice.Companion.invoke(request, ByteVector32.One, NODE, 7200,
                Features.Companion.getEmpty(), List.of(path), Set.of(), Set.of());
        byte[] answered = OfferTypes.Invoice.INSTANCE.getTlvSerializer().write(invoice.getRecords());
        expect(protocol, "\"invoice_amount\":\"1000\"", "bolt12.invoice.decode", "bytes", Result.hex(answered));
        expect(protocol, null, "bolt12.invoice.decode", "bytes", flipped(answered));
        expect(protocol, "\"matches\":true", "bolt12.invoice.match",
                "bytes", Result.hex(answered), "request", Result.hex(asked));
        expect(protocol, null, "bolt12.invoice_error.decode", "bytes", "00");

        Object[] onion = {"session_key", "11".repeat(32), "associated_data", "", "hops",
            List.of(new Result().with("pubkey", key).with("payload", "0100").done())};
        expect(protocol, "\"onion\":", "onion.build", onion);
        expect(protocol, null, "onion.peel", "node_secret", "11".repeat(32), "onion", "00".repeat(1366));
        expect(protocol, null, "onion.failure.decode", "shared_secrets", List.of("11".repeat(32)),
                "packet", "00".repeat(292));
        expect(protocol, "\"packet\":", "onion.failure.create",
                "shared_secret", "11".repeat(32), "failure", "2002");
    }
}
