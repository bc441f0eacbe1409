package lnconform.kmp;

import fr.acinq.bitcoin.Chain;
import fr.acinq.lightning.CltvExpiryDelta;
import fr.acinq.lightning.Feature;
import fr.acinq.lightning.FeatureSupport;
import fr.acinq.lightning.Features;
import fr.acinq.lightning.MilliSatoshi;
import fr.acinq.lightning.UnknownFeature;
import fr.acinq.lightning.payment.Bolt11Invoice;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;

/** BOLT 11, read by lightning-kmp. */
final class Bolt11 {
    private Bolt11() {}

    private static String network(Chain chain) {
        if (chain.equals(Chain.Mainnet.INSTANCE)) {
            return "bitcoin";
        }
        if (chain.equals(Chain.Regtest.INSTANCE)) {
            return "regtest";
        }
        return chain.equals(Chain.Signet.INSTANCE) ? "signet" : "testnet";
    }

    /** The bits that are set, lowest first. */
    private static List<Integer> bits(Features features) {
        List<Integer> bits = new ArrayList<>();
        for (Map.Entry<Feature, FeatureSupport> entry : features.getActivated().entrySet()) {
            bits.add(entry.getKey().supportBit(entry.getValue()));
        }
        for (UnknownFeature unknown : features.getUnknown()) {
            bits.add(unknown.getBitIndex());
        }
        Collections.sort(bits);
        return bits;
    }

    static Map<String, Object> decode(Params params) {
        Bolt11Invoice invoice =
                Bolt12.value("invoice", Bolt11Invoice.Companion.read(params.text("invoice")));
        if (params.has("now") && invoice.isExpired(params.u64("now"))) {
            throw Fail.rejected("the invoice has expired");
        }
        MilliSatoshi amount = invoice.getAmount();
        Long expiry = invoice.getExpirySeconds();
        CltvExpiryDelta delta = invoice.getMinFinalExpiryDelta();
        if (delta == null) {
            delta = Bolt11Invoice.Companion.getDEFAULT_MIN_FINAL_EXPIRY_DELTA();
        }
        return new Result()
                .with("network", network(invoice.getChain()))
                .with("amount_msat", amount == null ? null : Result.decimal(amount.getMsat()))
                .with("timestamp", Result.decimal(invoice.getTimestampSeconds()))
                .with("payment_hash", Result.hex(invoice.getPaymentHash()))
                .with("payment_secret", Result.hex(invoice.getPaymentSecret()))
                .with("payee", invoice.getNodeId().toHex())
                .with("features", bits(invoice.getFeatures()))
                .with("expiry", Result.decimal(
                        expiry == null ? Bolt11Invoice.DEFAULT_EXPIRY_SECONDS : expiry))
                .with("min_final_cltv_expiry", delta.toInt())
                .with("route_hints", Result.each(invoice.getRoutingInfo(), route ->
                        Result.each(route.getHints(), hop -> new Result()
                                .with("node_id", hop.getNodeId().toHex())
                                .with("scid", hop.getShortChannelId().toString())
                                .with("fee_base_msat", hop.getFeeBase().getMsat())
                                .with("fee_proportional_millionths",
                                        hop.getFeeProportionalMillionths())
                                .with("cltv_expiry_delta", hop.getCltvExpiryDelta().toInt())
                                .done())))
                .with("description", invoice.getDescription())
                .with("description_hash", invoice.getDescriptionHash() == null
                        ? null : Result.hex(invoice.getDescriptionHash()))
                .with("payment_metadata", invoice.getPaymentMetadata() == null
                        ? null : Result.hex(invoice.getPaymentMetadata()))
                .done();
    }
}
