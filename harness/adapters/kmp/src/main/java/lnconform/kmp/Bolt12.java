package lnconform.kmp;

import fr.acinq.bitcoin.BlockHash;
import fr.acinq.bitcoin.ByteVector;
import fr.acinq.bitcoin.ByteVector32;
import fr.acinq.bitcoin.ByteVector64;
import fr.acinq.bitcoin.Crypto;
import fr.acinq.bitcoin.PrivateKey;
import fr.acinq.bitcoin.PublicKey;
import fr.acinq.bitcoin.io.ByteArrayOutput;
import fr.acinq.bitcoin.utils.Either;
import fr.acinq.bitcoin.utils.Try;
import fr.acinq.lightning.EncodedNodeId;
import fr.acinq.lightning.Feature;
import fr.acinq.lightning.FeatureSupport;
import fr.acinq.lightning.Features;
import fr.acinq.lightning.MilliSatoshi;
import fr.acinq.lightning.crypto.RouteBlinding;
import fr.acinq.lightning.payment.Bolt12Invoice;
import fr.acinq.lightning.wire.LightningCodecs;
import fr.acinq.lightning.wire.OfferTypes;
import fr.acinq.lightning.wire.OfferTypes.ContactInfo;
import fr.acinq.lightning.wire.OfferTypes.InvoiceRequest;
import fr.acinq.lightning.wire.OfferTypes.Offer;
import fr.acinq.lightning.wire.OnionMessagePayloadTlv;
import fr.acinq.lightning.wire.Tlv;
import fr.acinq.lightning.wire.TlvStream;
import fr.acinq.lightning.wire.TlvStreamSerializer;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * BOLT 12, read by lightning-kmp. Fields are shown where their record is, under the
 * specification's names; those of an offer without their prefix.
 */
final class Bolt12 {
    private Bolt12() {}

    /** BOLT 12: the type of a request's {@code invreq_bip_353_name}. */
    private static final long BIP_353_NAME = 91;

    /** BOLT 12: the type of an offer's {@code offer_issuer_id}. */
    private static final long ISSUER_ID = 22;

    /** What lightning-kmp sends in its own requests: the features of a node that says nothing else. */
    private static final Features OWN =
            new Features(
                    Map.of(Feature.BasicMultiPartPayment.INSTANCE, FeatureSupport.Optional), Set.of());

    /** What {@code validateFor} says from the clock on. */
    private static final Set<String> AFTER_THE_CLOCK = Set.of(
            "Invoice expired", "Incompatible amount", "Incompatible features", "Invalid signature");

    /** The value of a {@code Try}, or what lightning-kmp says is wrong. */
    static <T> T value(String what, Try<T> tried) {
        if (tried instanceof Try.Failure<T> failure) {
            throw Fail.refused(what, failure.getError());
        }
        return tried.get();
    }

    /** The right side, or the left one as a refusal. */
    static <L, R> R right(String what, Either<L, R> either) {
        if (either.isLeft()) {
            throw Fail.invalid(what + ": " + either.getLeft());
        }
        return either.getRight();
    }

    private static <T extends Tlv> TlvStream<T> read(
            String what, TlvStreamSerializer<T> serializer, byte[] bytes) {
        try {
            return serializer.read(bytes);
        } catch (Throwable e) {
            throw Fail.refused(what, e);
        }
    }

    static Result path(ContactInfo.BlindedPath path) {
        RouteBlinding.BlindedRoute route = path.getRoute();
        EncodedNodeId first = route.getIntroductionNodeId();
        ByteArrayOutput out = new ByteArrayOutput();
        LightningCodecs.INSTANCE.writeEncodedNodeId(first, out);
        return new Result()
                .with("first_node_id", Result.hex(out.toByteArray()))
                .with("first_path_key", route.getBlindingKey().toHex())
                .with("hops", Result.each(route.getBlindedNodes(), hop -> new Result()
                        .with("blinded_node_id", hop.getBlindedPublicKey().toHex())
                        .with("encrypted_recipient_data", Result.hex(hop.getEncryptedPayload()))
                        .done()));
    }

    private static Object paths(List<ContactInfo.BlindedPath> paths) {
        return Result.each(paths, path -> path(path).done());
    }

    private static Object payInfo(OfferTypes.PaymentInfo info) {
        return new Result()
                .with("fee_base_msat", info.getFeeBase().getMsat())
                .with("fee_proportional_millionths", info.getFeeProportionalMillionths())
                .with("cltv_expiry_delta", info.getCltvExpiryDelta().toInt())
                .with("htlc_minimum_msat", msat(info.getMinHtlc()))
                .with("htlc_maximum_msat", msat(info.getMaxHtlc()))
                .with("features", features(info.getAllowedFeatures()))
                .done();
    }

    private static String msat(MilliSatoshi amount) {
        return Result.decimal(amount.getMsat());
    }

    private static String features(Features features) {
        return Result.hex(features.toByteArray());
    }

    private static String chain(BlockHash chain) {
        return Result.hex(chain.value);
    }

    /** Adds the field of one record, if it is one; {@code offer} stands before the names of an offer's. */
    private static void field(Tlv tlv, String offer, Result to) {
        if (tlv instanceof OfferTypes.OfferChains r) {
            to.with(offer + "chains", Result.each(r.getChains(), Bolt12::chain));
        } else if (tlv instanceof OfferTypes.OfferMetadata r) {
            to.with(offer + "metadata", Result.hex(r.getData()));
        } else if (tlv instanceof OfferTypes.OfferCurrency r) {
            to.with(offer + "currency", r.getIso4217());
        } else if (tlv instanceof OfferTypes.OfferAmount r) {
            to.with(offer + "amount", msat(r.getAmount()));
        } else if (tlv instanceof OfferTypes.OfferDescription r) {
            to.with(offer + "description", r.getDescription());
        } else if (tlv instanceof OfferTypes.OfferFeatures r) {
            to.with(offer + "features", features(r.getFeatures()));
        } else if (tlv instanceof OfferTypes.OfferAbsoluteExpiry r) {
            to.with(offer + "absolute_expiry", Result.decimal(r.getAbsoluteExpirySeconds()));
        } else if (tlv instanceof OfferTypes.OfferPaths r) {
            to.with(offer + "paths", paths(r.getPaths()));
        } else if (tlv instanceof OfferTypes.OfferIssuer r) {
            to.with(offer + "issuer", r.getIssuer());
        } else if (tlv instanceof OfferTypes.OfferQuantityMax r) {
            to.with(offer + "quantity_max", Result.decimal(r.getMax()));
        } else if (tlv instanceof OfferTypes.OfferNodeId r) {
            to.with(offer + "issuer_id", r.getPublicKey().toHex());
        } else if (tlv instanceof OfferTypes.InvoiceRequestMetadata r) {
            to.with("invreq_metadata", Result.hex(r.getData()));
        } else if (tlv instanceof OfferTypes.InvoiceRequestChain r) {
            to.with("invreq_chain", chain(r.getHash()));
        } else if (tlv instanceof OfferTypes.InvoiceRequestAmount r) {
            to.with("invreq_amount", msat(r.getAmount()));
        } else if (tlv instanceof OfferTypes.InvoiceRequestFeatures r) {
            to.with("invreq_features", features(r.getFeatures()));
        } else if (tlv instanceof OfferTypes.InvoiceRequestQuantity r) {
            to.with("invreq_quantity", Result.decimal(r.getQuantity()));
        } else if (tlv instanceof OfferTypes.InvoiceRequestPayerId r) {
            to.with("invreq_payer_id", r.getPublicKey().toHex());
        } else if (tlv instanceof OfferTypes.InvoiceRequestPayerNote r) {
            to.with("invreq_payer_note", r.getNote());
        } else if (tlv instanceof OfferTypes.InvoicePaths r) {
            to.with("invoice_paths", paths(r.getPaths()));
        } else if (tlv instanceof OfferTypes.InvoiceBlindedPay r) {
            to.with("invoice_blindedpay", Result.each(r.getPaymentInfos(), Bolt12::payInfo));
        } else if (tlv instanceof OfferTypes.InvoiceCreatedAt r) {
            to.with("invoice_created_at", Result.decimal(r.getTimestampSeconds()));
        } else if (tlv instanceof OfferTypes.InvoiceRelativeExpiry r) {
            to.with("invoice_relative_expiry", r.getSeconds());
        } else if (tlv instanceof OfferTypes.InvoicePaymentHash r) {
            to.with("invoice_payment_hash", Result.hex(r.getHash()));
        } else if (tlv instanceof OfferTypes.InvoiceAmount r) {
            to.with("invoice_amount", msat(r.getAmount()));
        } else if (tlv instanceof OfferTypes.InvoiceFallbacks r) {
            to.with("invoice_fallbacks", Result.each(r.getAddresses(), a -> new Result()
                    .with("version", a.getVersion())
                    .with("address", Result.hex(a.getValue()))
                    .done()));
        } else if (tlv instanceof OfferTypes.InvoiceFeatures r) {
            to.with("invoice_features", features(r.getFeatures()));
        } else if (tlv instanceof OfferTypes.InvoiceNodeId r) {
            to.with("invoice_node_id", r.getNodeId().toHex());
        } else if (tlv instanceof OfferTypes.Signature r) {
            to.with("signature", Result.hex(r.getSignature()));
        }
    }

    /** The records of a message and the fields that lightning-kmp reads in them. */
    private static Result shown(TlvStream<?> stream, String offer) {
        Result result = new Result().with("records", Tlvs.shown(stream));
        for (Tlv tlv : stream.getRecords()) {
            field(tlv, offer, result);
        }
        return result;
    }

    static Map<String, Object> offerDecode(Params params) {
        Offer offer = value("offer", Offer.Companion.decode(params.text("offer")));
        if (params.has("chains")) {
            boolean any = false;
            for (byte[] chain : params.hexes("chains")) {
                any |= offer.getChains().contains(new BlockHash(chain));
            }
            // What lightning-kmp demands of an offer before it makes a request for it.
            if (!any) {
                throw Fail.rejected("none of the offer's chains is accepted");
            }
        }
        if (params.has("now")) {
            params.u64("now");
            throw Fail.unsupported(
                    "lightning-kmp leaves it to the wallet to hold an offer's expiry against the time");
        }
        return shown(offer.getRecords(), "").with("offer_id", Result.hex(offer.getOfferId())).done();
    }

    /** The request in {@code bytes} or {@code string}. */
    private static InvoiceRequest request(Params params) {
        if (!params.has("bytes")) {
            return value("invoice request", InvoiceRequest.Companion.decode(params.text("string")));
        }
        return request(params.bytes("bytes"));
    }

    private static InvoiceRequest request(byte[] bytes) {
        String what = "invoice request";
        return right(what, InvoiceRequest.Companion.validate(
                read(what, InvoiceRequest.Companion.getTlvSerializer(), bytes)));
    }

    /** What lightning-kmp holds against its own node, where the adapter's user cannot see it. */
    private static void noChains(Params params, String what) {
        if (params.has("chains")) {
            throw Fail.unsupported("lightning-kmp holds the chain of " + what
                    + " against that of its offer, and not against a list");
        }
    }

    static Map<String, Object> invoiceRequestDecode(Params params) {
        InvoiceRequest request = request(params);
        // The payee's further rules: amount, chain, quantity, features and signature at once.
        boolean valid;
        try {
            valid = request.isValid();
        } catch (Throwable e) {
            throw Fail.refused("invoice request", e);
        }
        if (!valid) {
            throw Fail.invalid("invoice request: not valid"
                    + (signed(request::checkSignature) ? "" : " (its signature)"));
        }
        noChains(params, "a request");
        if (params.has("now")) {
            params.u64("now");
            throw Fail.unsupported(
                    "lightning-kmp leaves it to the wallet to hold an offer's expiry against the time");
        }
        for (Tlv unknown : request.getRecords().getUnknown()) {
            if (unknown.getTag() == BIP_353_NAME) {
                throw Fail.unsupported("lightning-kmp does not know invreq_bip_353_name, an odd record, "
                        + "and passes over it");
            }
        }
        return shown(request.getRecords(), "offer_").done();
    }

    /** A check of a signature. With a key that is on no curve it ends with an exception. */
    private static boolean signed(java.util.function.BooleanSupplier check) {
        try {
            return check.getAsBoolean();
        } catch (Exception e) {
            return false;
        }
    }

    private static Bolt12Invoice invoice(Params params) {
        if (!params.has("bytes")) {
            return value("invoice", Bolt12Invoice.Companion.fromString(params.text("string")));
        }
        // As it comes in an onion message.
        var tlvs = read("invoice", OfferTypes.Invoice.INSTANCE.getTlvSerializer(), params.bytes("bytes"));
        OnionMessagePayloadTlv record = new OnionMessagePayloadTlv.Invoice(tlvs);
        var parsed = Bolt12Invoice.Companion.extract(new TlvStream<>(Set.of(record), Set.of()));
        if (parsed instanceof Bolt12Invoice.Companion.Bolt12ParsingResult.Success success) {
            return success.getInvoice();
        }
        if (parsed instanceof Bolt12Invoice.Companion.Bolt12ParsingResult.Failure.Malformed wrong) {
            // What lightning-kmp misses in every invoice for a refund, which answers no offer.
            if (wrong.getInvalidTlvPayload().getTag() == ISSUER_ID) {
                throw Fail.unsupported("lightning-kmp has no refunds, and reads no invoice for one ("
                        + wrong.getInvalidTlvPayload() + ")");
            }
            throw Fail.invalid("invoice: " + wrong.getInvalidTlvPayload());
        }
        throw Fail.invalid("invoice: " + parsed);
    }

    private static void notExpired(Params params, Bolt12Invoice invoice) {
        if (params.has("now") && invoice.isExpired(params.u64("now"))) {
            throw Fail.rejected("the invoice has expired");
        }
    }

    static Map<String, Object> invoiceDecode(Params params) {
        Bolt12Invoice invoice = invoice(params);
        // What lightning-kmp does before it pays, with the request that the invoice repeats, and with
        // features as they stand in lightning-kmp's own requests.
        answers(params, invoice, invoice.getInvoiceRequest(), OWN);
        noChains(params, "an invoice");
        for (Tlv tlv : invoice.getRecords().getRecords()) {
            if (tlv instanceof OfferTypes.InvoiceFallbacks) {
                throw Fail.unsupported(
                        "lightning-kmp reads fallback addresses and never pays to one: all are shown alike");
            }
        }
        long end = invoice.getCreatedAtSeconds() + invoice.getRelativeExpirySeconds();
        return shown(invoice.getRecords(), "offer_").with("expiry", Result.decimal(end)).done();
    }

    static Map<String, Object> invoiceErrorDecode(Params params) {
        String what = "invoice error";
        // The record of an onion message, whose value this is.
        OnionMessagePayloadTlv.InvoiceError record;
        try {
            record = OnionMessagePayloadTlv.InvoiceError.Companion.read(
                    new fr.acinq.bitcoin.io.ByteArrayInput(params.bytes("bytes")));
        } catch (Throwable e) {
            throw Fail.refused(what, e);
        }
        OfferTypes.InvoiceError error =
                right(what, OfferTypes.InvoiceError.Companion.validate(record.getTlvs()));
        Result result = new Result().with("records", Tlvs.shown(error.getRecords()));
        for (Tlv tlv : error.getRecords().getRecords()) {
            if (tlv instanceof OfferTypes.ErroneousField field) {
                result.with("erroneous_field", Result.decimal(field.getFieldTag()));
            } else if (tlv instanceof OfferTypes.SuggestedValue value) {
                result.with("suggested_value", Result.hex(value.getValue()));
            }
        }
        return result.with("error", error.getError()).done();
    }

    /**
     * Whether an invoice answers a request, by the reader that lightning-kmp has for it. That one
     * looks at the clock in the middle; where only this, or what comes after it, is amiss, the rest
     * of its rules is asked one by one.
     */
    private static void answers(
            Params params, Bolt12Invoice invoice, InvoiceRequest request, Features own) {
        try {
            String verdict = invoice.validateFor(request).getLeft();
            boolean early = verdict != null && !AFTER_THE_CLOCK.contains(verdict);
            if (early) {
                throw Fail.invalid("invoice: " + verdict);
            }
            MilliSatoshi asked = request.getAmount();
            if (asked != null && !asked.equals(invoice.getAmount())) {
                throw Fail.invalid("invoice: Incompatible amount");
            }
            if (!Features.Companion.areCompatible(own, invoice.getFeatures().bolt12Features())) {
                throw Fail.invalid("invoice: Incompatible features");
            }
            if (!invoice.checkSignature()) {
                throw Fail.invalid("invoice: Invalid signature");
            }
        } catch (Throwable e) {
            throw Fail.refused("invoice", e);
        }
        notExpired(params, invoice);
    }

    static Map<String, Object> invoiceMatch(Params params) {
        // The way on which lightning-kmp awaits an invoice; what comes by another it does not read.
        if (params.has("via") && !params.text("via").equals("reply-path")) {
            throw Fail.unsupported("lightning-kmp reads invoices that come along its reply path");
        }
        for (String name : List.of("parts", "sent_to", "chains")) {
            if (params.has(name)) {
                throw Fail.unsupported("lightning-kmp holds an invoice against its request alone: "
                        + name + " is known to the node");
            }
        }
        // A request that lightning-kmp would not have sent is none that it waits for an answer to.
        byte[] bytes = params.bytes("request");
        InvoiceRequest request;
        try {
            request = request(bytes);
        } catch (Fail fail) {
            throw Fail.unsupported("lightning-kmp makes no such request itself (" + fail.getMessage() + ")");
        }
        Bolt12Invoice invoice = invoice(params);
        answers(params, invoice, request, request.getFeatures());
        return new Result()
                .with("matches", true)
                .with("invoice_amount", msat(invoice.getAmount()))
                .with("invoice_node_id", invoice.getNodeId().toHex())
                .done();
    }

    /** The records that are signed: BOLT 12 leaves 240 to 1000 out. */
    private static TlvStream<Tlv> unsigned(Params params) {
        Set<Tlv> records = new LinkedHashSet<>();
        for (Tlv tlv : Tlvs.stream(params, "records").getRecords()) {
            if (tlv.getTag() < 240 || tlv.getTag() > 1000) {
                records.add(tlv);
            }
        }
        if (records.isEmpty()) {
            throw Fail.invalid("param records has nothing to sign");
        }
        return new TlvStream<>(records, Set.of());
    }

    private static String tag(Params params) {
        return "lightning" + params.text("message_name") + params.text("field_name");
    }

    private static ByteVector vector(String tag) {
        return new ByteVector(tag.getBytes(StandardCharsets.UTF_8));
    }

    /** What is signed. lightning-kmp keeps it to itself; this is the hash of the library beneath it. */
    private static String digest(String tag, ByteVector32 root) {
        return Result.hex(Crypto.taggedHash(root.toByteArray(), tag));
    }

    static Map<String, Object> sign(Params params) {
        String tag = tag(params);
        PrivateKey secret = params.secret("secret_key");
        if (params.has("aux")) {
            throw Fail.unsupported("lightning-kmp signs without auxiliary randomness");
        }
        ByteVector32 root = OfferTypes.INSTANCE.rootHash(unsigned(params));
        ByteVector64 signature = OfferTypes.INSTANCE.signSchnorr(vector(tag), root, secret);
        return new Result()
                .with("signature", Result.hex(signature))
                .with("digest", digest(tag, root))
                .done();
    }

    static Map<String, Object> verify(Params params) {
        String tag = tag(params);
        byte[] key = params.bytes("public_key");
        if (key.length == 32) {
            // An x coordinate alone stands for the point with the even y.
            byte[] even = new byte[33];
            even[0] = 2;
            System.arraycopy(key, 0, even, 1, 32);
            key = even;
        }
        if (key.length != 33) {
            throw Fail.invalid("param public_key has " + key.length + " bytes, not 32 or 33");
        }
        ByteVector64 signature = new ByteVector64(params.bytes("signature", 64));
        ByteVector32 root = OfferTypes.INSTANCE.rootHash(unsigned(params));
        boolean valid;
        try {
            valid = OfferTypes.INSTANCE.verifySchnorr(vector(tag), root, signature, new PublicKey(key));
        } catch (Throwable e) {
            throw Fail.refused("public_key", e);
        }
        return new Result().with("valid", valid).with("digest", digest(tag, root)).done();
    }
}
