package lnconform.kmp;

import fr.acinq.bitcoin.ByteVector;
import fr.acinq.bitcoin.ByteVector32;
import fr.acinq.bitcoin.PrivateKey;
import fr.acinq.bitcoin.PublicKey;
import fr.acinq.bitcoin.io.ByteArrayOutput;
import fr.acinq.bitcoin.utils.Either;
import fr.acinq.lightning.crypto.RouteBlinding;
import fr.acinq.lightning.crypto.sphinx.DecryptedFailurePacket;
import fr.acinq.lightning.crypto.sphinx.DecryptedPacket;
import fr.acinq.lightning.crypto.sphinx.FailurePacket;
import fr.acinq.lightning.crypto.sphinx.PacketAndSecrets;
import fr.acinq.lightning.crypto.sphinx.SharedSecrets;
import fr.acinq.lightning.crypto.sphinx.Sphinx;
import fr.acinq.lightning.wire.BadOnion;
import fr.acinq.lightning.wire.FailureMessage;
import fr.acinq.lightning.wire.FinalIncorrectCltvExpiry;
import fr.acinq.lightning.wire.FinalIncorrectHtlcAmount;
import fr.acinq.lightning.wire.IncorrectOrUnknownPaymentDetails;
import fr.acinq.lightning.wire.InvalidOnionPayload;
import fr.acinq.lightning.wire.OfferTypes;
import fr.acinq.lightning.wire.OnionRoutingPacket;
import fr.acinq.lightning.wire.OnionRoutingPacketSerializer;
import fr.acinq.lightning.wire.PaymentTimeout;
import fr.acinq.lightning.wire.RouteBlindingEncryptedData;
import fr.acinq.lightning.wire.UnknownFailureMessage;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import kotlin.Pair;

/** Onions, their failures and blinded paths of BOLT 4, by lightning-kmp. */
final class Onion {
    private Onion() {}

    /** Of an onion for payments: the hops' payloads, in bytes. */
    private static final int PAYMENT = 1300;

    /** What stands around the payloads: version, key, HMAC. */
    private static final int FRAME = 1 + 33 + 32;

    /** What lightning-kmp pads a failure to, in bytes: message and padding together. */
    private static final int PADDED = 256;

    private static ByteVector32 associated(Params params) {
        if (!params.has("associated_data")) {
            return null;
        }
        byte[] bytes = params.bytes("associated_data");
        if (bytes.length == 0) {
            return null;
        }
        if (bytes.length != 32) {
            throw Fail.unsupported("lightning-kmp binds onions to 32 bytes or to none, not to "
                    + bytes.length);
        }
        return new ByteVector32(bytes);
    }

    private static String encoded(OnionRoutingPacket packet) {
        int size = packet.getPayload().size();
        return Result.hex(new OnionRoutingPacketSerializer(size).write(packet));
    }

    /** {@code onion.build}: payloads stand behind their length. */
    static Map<String, Object> build(Params params) {
        long size = params.has("size") ? params.u32("size") : PAYMENT;
        return build(params, size);
    }

    /** {@code trampoline.build}: the onion is as large as its payloads need, if nothing else is said. */
    static Map<String, Object> buildTrampoline(Params params) {
        long size = 0;
        if (params.has("size")) {
            size = params.u32("size");
        } else {
            for (Params hop : params.objects("hops")) {
                size += hop.bytes("payload").length + 32;
            }
        }
        return build(params, size);
    }

    private static Map<String, Object> build(Params params, long size) {
        if (params.has("raw")) {
            throw Fail.unsupported("lightning-kmp reads the length of each payload in it");
        }
        PrivateKey session = params.secret("session_key");
        List<PublicKey> nodes = new ArrayList<>();
        List<byte[]> payloads = new ArrayList<>();
        for (Params hop : params.objects("hops")) {
            nodes.add(hop.key("pubkey"));
            payloads.add(hop.bytes("payload"));
        }
        if (size > 1 << 16) {
            throw Fail.invalid("param size is " + size + ", and no message holds so much");
        }
        try {
            PacketAndSecrets built =
                    Sphinx.INSTANCE.create(session, nodes, payloads, associated(params), (int) size);
            var keys = Sphinx.INSTANCE.computeEphemeralPublicKeysAndSharedSecrets(session, nodes);
            List<Object> factors = new ArrayList<>();
            for (int i = 0; i < nodes.size(); i++) {
                factors.add(Result.hex(Sphinx.INSTANCE.computeBlindingFactor(
                        keys.getFirst().get(i), keys.getSecond().get(i))));
            }
            return new Result()
                    .with("onion", encoded(built.getPacket()))
                    .with("shared_secrets", Result.each(
                            built.getSharedSecrets().getPerHopSecrets(),
                            pair -> Result.hex(pair.getFirst())))
                    .with("ephemeral_keys", Result.each(keys.getFirst(), PublicKey::toHex))
                    .with("blinding_factors", factors)
                    .with("rhos", Result.each(keys.getSecond(), secret -> derived("rho", secret)))
                    .with("mus", Result.each(keys.getSecond(), secret -> derived("mu", secret)))
                    .done();
        } catch (Throwable e) {
            throw Fail.refused("onion", e);
        }
    }

    /** A key of one hop, by its name in BOLT 4. */
    private static String derived(String name, ByteVector32 secret) {
        return Result.hex(Sphinx.INSTANCE.generateKey(name, secret));
    }

    private static OnionRoutingPacket packet(byte[] onion) {
        if (onion.length < FRAME) {
            throw Fail.invalid("onion: " + onion.length + " bytes");
        }
        try {
            return new OnionRoutingPacketSerializer(onion.length - FRAME).read(onion);
        } catch (Throwable e) {
            throw Fail.refused("onion", e);
        }
    }

    private static DecryptedPacket peel(
            PrivateKey secret, ByteVector32 associated, OnionRoutingPacket packet) {
        Either<FailureMessage, DecryptedPacket> peeled;
        try {
            ByteVector data = associated == null ? ByteVector.empty : associated;
            peeled = Sphinx.INSTANCE.peel(secret, data, packet);
        } catch (Throwable e) {
            throw Fail.refused("onion", e);
        }
        if (peeled.isLeft()) {
            FailureMessage failure = peeled.getLeft();
            throw Fail.invalid("onion: " + failure.getMessage()).code(failure.getCode());
        }
        return peeled.getRight();
    }

    static Map<String, Object> peel(Params params) {
        PrivateKey secret = params.secret("node_secret");
        byte[] onion = params.bytes("onion");
        if (params.has("size") && params.u32("size") + FRAME != onion.length) {
            throw Fail.invalid("onion: " + onion.length + " bytes");
        }
        if (params.has("path_key")) {
            PublicKey key = new PublicKey(params.bytes("path_key", 33));
            try {
                secret = RouteBlinding.INSTANCE.derivePrivateKey(secret, key);
            } catch (Throwable e) {
                throw Fail.refused("path_key", e);
            }
        }
        DecryptedPacket hop = peel(secret, associated(params), packet(onion));
        return new Result()
                .with("payload", Result.hex(hop.getPayload()))
                .with("shared_secret", Result.hex(hop.getSharedSecret()))
                .with("next_onion", hop.isLastPacket() ? null : encoded(hop.getNextPacket()))
                .with("rho", derived("rho", hop.getSharedSecret()))
                .with("mu", derived("mu", hop.getSharedSecret()))
                .done();
    }

    static Map<String, Object> peelRoute(Params params) {
        List<PrivateKey> secrets = new ArrayList<>();
        for (byte[] secret : params.hexes("node_secrets")) {
            if (secret.length != 32) {
                throw Fail.invalid("param node_secrets has an entry of " + secret.length + " bytes");
            }
            secrets.add(new PrivateKey(secret));
        }
        ByteVector32 associated = associated(params);
        OnionRoutingPacket packet = packet(params.bytes("onion"));
        List<Object> payloads = new ArrayList<>();
        List<Object> shared = new ArrayList<>();
        for (int i = 0; i < secrets.size(); i++) {
            DecryptedPacket hop = peel(secrets.get(i), associated, packet);
            payloads.add(Result.hex(hop.getPayload()));
            shared.add(Result.hex(hop.getSharedSecret()));
            if (hop.isLastPacket() && i + 1 < secrets.size()) {
                throw Fail.invalid("hop " + i + " of " + secrets.size() + " is the last");
            }
            packet = hop.getNextPacket();
        }
        return new Result().with("payloads", payloads).with("shared_secrets", shared).done();
    }

    /** lightning-kmp has no attribution data. */
    private static void noAttribution(Params params) {
        for (String name : List.of("hold_time", "attribution_data")) {
            if (params.has(name)) {
                throw Fail.unsupported("lightning-kmp has no attribution data");
            }
        }
    }

    static Map<String, Object> failureCreate(Params params) {
        noAttribution(params);
        if (params.has("pad_to") && params.u32("pad_to") != PADDED) {
            throw Fail.unsupported("lightning-kmp pads failures to " + PADDED + " bytes");
        }
        ByteVector32 secret = params.bytes32("shared_secret");
        byte[] bytes = params.bytes("failure");
        FailureMessage failure;
        byte[] again;
        try {
            failure = FailureMessage.Companion.decode(bytes);
            again = FailureMessage.Companion.encode(failure);
        } catch (Throwable e) {
            throw Fail.refused("failure", e);
        }
        if (!Arrays.equals(bytes, again)) {
            throw Fail.unsupported("lightning-kmp writes this failure as " + Result.hex(again));
        }
        ByteVector32 um = Sphinx.INSTANCE.generateKey("um", secret);
        try {
            byte[] plain = FailurePacket.INSTANCE.encode(failure, um, PADDED);
            return new Result()
                    .with("packet", Result.hex(FailurePacket.INSTANCE.create(secret, failure)))
                    .with("plain", Result.hex(plain))
                    .with("body", Result.hex(Arrays.copyOfRange(plain, 32, plain.length)))
                    .with("um", Result.hex(um))
                    .with("ammag", derived("ammag", secret))
                    .done();
        } catch (Throwable e) {
            throw Fail.refused("failure", e);
        }
    }

    static Map<String, Object> failureWrap(Params params) {
        noAttribution(params);
        ByteVector32 secret = params.bytes32("shared_secret");
        byte[] packet = FailurePacket.INSTANCE.wrap(params.bytes("packet"), secret);
        return new Result()
                .with("packet", Result.hex(packet))
                .with("ammag", derived("ammag", secret))
                .done();
    }

    /**
     * The failure's data, which lightning-kmp keeps as fields and writes again; {@code null} where it
     * has kept nothing.
     */
    private static String data(FailureMessage failure) {
        if (failure instanceof UnknownFailureMessage) {
            return null;
        }
        byte[] bytes = FailureMessage.Companion.encode(failure);
        return Result.hex(Arrays.copyOfRange(bytes, 2, bytes.length));
    }

    /** The fields of the failures that have some, apart from those around a channel update. */
    private static Map<String, Object> fields(FailureMessage failure) {
        Result fields = new Result();
        if (failure instanceof IncorrectOrUnknownPaymentDetails details) {
            fields.with("htlc_msat", Result.decimal(details.getAmount().getMsat()))
                    .with("height", details.getHeight());
        } else if (failure instanceof FinalIncorrectHtlcAmount wrong) {
            fields.with("incoming_htlc_amt", Result.decimal(wrong.getAmount().getMsat()));
        } else if (failure instanceof FinalIncorrectCltvExpiry wrong) {
            fields.with("cltv_expiry", wrong.getExpiry().toLong());
        } else if (failure instanceof InvalidOnionPayload wrong) {
            fields.with("type", Result.decimal(wrong.getTag())).with("offset", wrong.getOffset());
        } else if (failure instanceof BadOnion bad) {
            fields.with("sha256_of_onion", Result.hex(bad.getOnionHash()));
        }
        return fields.done().isEmpty() ? null : fields.done();
    }

    /** The name that lightning-kmp has for a failure, in BOLT 4's way of writing. */
    private static String name(FailureMessage failure) {
        if (failure instanceof UnknownFailureMessage) {
            return null;
        }
        if (failure instanceof PaymentTimeout) {
            // The only one that it calls otherwise than BOLT 4 does.
            return "mpp_timeout";
        }
        String name = failure.getClass().getSimpleName();
        return name.replaceAll("(?<!^)([A-Z])", "_$1").toLowerCase(Locale.ROOT);
    }

    static Map<String, Object> failureDecode(Params params) {
        noAttribution(params);
        List<Pair<ByteVector32, PublicKey>> hops = new ArrayList<>();
        for (byte[] secret : params.hexes("shared_secrets")) {
            if (secret.length != 32) {
                throw Fail.invalid(
                        "param shared_secrets has an entry of " + secret.length + " bytes");
            }
            // lightning-kmp names a hop by its key, which nothing is computed with.
            byte[] name = new byte[33];
            name[0] = 2;
            name[31] = (byte) (hops.size() >> 8);
            name[32] = (byte) hops.size();
            hops.add(new Pair<>(new ByteVector32(secret), new PublicKey(name)));
        }
        DecryptedFailurePacket found = Bolt12.value("packet",
                FailurePacket.INSTANCE.decrypt(params.bytes("packet"), new SharedSecrets(hops)));
        int hop = 0;
        while (!hops.get(hop).getSecond().equals(found.getOriginNode())) {
            hop++;
        }
        FailureMessage failure = found.getFailureMessage();
        return new Result()
                .with("hop", hop)
                .with("code", failure.getCode())
                .with("data", data(failure))
                .with("name", name(failure))
                .with("fields", fields(failure))
                .done();
    }

    static Map<String, Object> pathBuild(Params params) {
        PrivateKey session = params.secret("session_key");
        List<PublicKey> nodes = new ArrayList<>();
        List<ByteVector> payloads = new ArrayList<>();
        for (Params hop : params.objects("hops")) {
            nodes.add(hop.key("pubkey"));
            payloads.add(hop.vector("encrypted_data"));
        }
        if (nodes.isEmpty()) {
            throw Fail.invalid("param hops is empty");
        }
        try {
            var built = RouteBlinding.INSTANCE.create(session, nodes, payloads);
            var contact = new OfferTypes.ContactInfo.BlindedPath(built.getRoute());
            ByteArrayOutput written = new ByteArrayOutput();
            OfferTypes.INSTANCE.writePath(contact, written);
            Result path = Bolt12.path(contact).with("path", Result.hex(written.toByteArray()));
            // What lightning-kmp computes and does not show, once more by the functions that it
            // computes it with.
            List<Object> keys = new ArrayList<>();
            List<Object> secrets = new ArrayList<>();
            List<Object> shared = new ArrayList<>();
            List<Object> rhos = new ArrayList<>();
            PrivateKey secret = session;
            for (PublicKey node : nodes) {
                PublicKey key = secret.publicKey();
                ByteVector32 common = Sphinx.INSTANCE.computeSharedSecret(node, secret);
                keys.add(key.toHex());
                secrets.add(Result.hex(secret.value));
                shared.add(Result.hex(common));
                rhos.add(Result.hex(Sphinx.INSTANCE.generateKey("rho", common)));
                secret = secret.times(
                        new PrivateKey(Sphinx.INSTANCE.computeBlindingFactor(key, common)));
            }
            return path.with("path_keys", keys)
                    .with("path_secrets", secrets)
                    .with("shared_secrets", shared)
                    .with("rhos", rhos)
                    .done();
        } catch (Throwable e) {
            throw Fail.refused("path", e);
        }
    }

    static Map<String, Object> pathUnblind(Params params) {
        PrivateKey secret = params.secret("node_secret");
        PublicKey key = new PublicKey(params.bytes("path_key", 33));
        ByteVector data = params.vector("encrypted_recipient_data");
        try {
            var opened = Bolt12.right("encrypted_recipient_data",
                    RouteBlinding.INSTANCE.decryptPayload(secret, key, data));
            var read = RouteBlindingEncryptedData.Companion.read(
                    opened.getFirst().toByteArray());
            PublicKey derived = opened.getSecond();
            // What lightning-kmp cannot read, it neither forwards nor accepts.
            PublicKey next = Bolt12.right("encrypted_data_tlv", read).getNextBlindingOverride();
            ByteVector32 common = Sphinx.INSTANCE.computeSharedSecret(key, secret);
            return new Result()
                    .with("tlvs", Result.hex(opened.getFirst()))
                    // An override in the data counts.
                    .with("next_path_key", (next == null ? derived : next).toHex())
                    .with("derived_path_key", derived.toHex())
                    .with("blinded_secret",
                            Result.hex(RouteBlinding.INSTANCE.derivePrivateKey(secret, key).value))
                    .with("shared_secret", Result.hex(common))
                    .with("rho", Result.hex(Sphinx.INSTANCE.generateKey("rho", common)))
                    .done();
        } catch (Throwable e) {
            throw Fail.refused("encrypted_recipient_data", e);
        }
    }
}
