"""AMP as LND has it, and its two earlier forms, written from the text of
`specs/drafts/amp-reusable-invoice.md` alone.

Section names in comments are those of the draft. An index is a number, everything else is bytes,
amounts are in millisatoshi.
"""

import struct

from common import Rules, sha256, xor

LND, DRAFT_2021, PR_658 = "amp/lnd", "amp/2021", "amp/pr-658"
DIALECTS = [LND, DRAFT_2021, PR_658]
ZERO = bytes(32)

# Earlier forms: payment_id, set_id, share, child_index, total_msat.
FORM_2019 = struct.Struct(">32s32s32sHQ")
# The TLV type that each form has its record under, with the rule that says so.
TYPE = {
    LND: (14, "record/type"),
    DRAFT_2021: (10, "record/draft-2021-type"),
    PR_658: (10, "record/pr-658-type"),
}

refuse_if = Rules("amp").refuse_if


# Record.


def decode_record(record, form=LND, kind=None):
    """The fields of a record by name. `kind` is the TLV type that it came under, if that is known."""
    wanted, rule = TYPE[form]
    refuse_if(
        kind is not None and kind != wanted,
        rule,
        "a record of type %s, not %d" % (kind, wanted),
    )
    if form == PR_658:
        refuse_if(
            len(record) != FORM_2019.size,
            "record/pr-658-length",
            "the record has %d bytes instead of %d" % (len(record), FORM_2019.size),
        )
        payment_id, set_id, share, index, total_msat = FORM_2019.unpack(record)
        return {
            "root_share": share,
            "set_id": set_id,
            "index": index,
            "payment_id": payment_id,
            "total_msat": total_msat,
        }
    refuse_if(
        len(record) < 64, "record/length-least", "%d bytes, fewer than 64" % len(record)
    )
    refuse_if(
        len(record) > 68, "record/length-most", "%d bytes, more than 68" % len(record)
    )
    index = record[64:]
    refuse_if(
        index[:1] == b"\0", "record/index-minimal", "the index begins with a byte of zero"
    )
    return {
        "root_share": record[:32],
        "set_id": record[32:64],
        "index": int.from_bytes(index, "big"),
    }


def encode_record(root_share, set_id, index, form=LND, payment_id=ZERO, total_msat=0):
    if form == PR_658:
        check_index_2019(index)
        return FORM_2019.pack(payment_id, set_id, root_share, index, total_msat)
    return root_share + set_id + index.to_bytes((index.bit_length() + 7) // 8, "big")


# Derivation.


def child(root, share, index, form=LND):
    """Preimage and payment hash of one HTLC. The form of 2019 does not look at `share`."""
    if form == PR_658:
        check_index_2019(index)
        preimage = sha256(root + struct.pack(">H", index))
    else:
        preimage = sha256(root + share + struct.pack(">I", index))
    return preimage, sha256(preimage)


def check_index_2019(index):
    refuse_if(
        index > 0xFFFF,
        "child/pr-658-index",
        "index %d does not fit the two bytes of the form of 2019" % index,
    )


def reconstruct(children, form=LND):
    """Root and preimages of a set: a list of share, index and payment hash of each HTLC."""
    root = ZERO
    for share, _, _ in children:
        root = xor(root, share)
    preimages = []
    for share, index, payment_hash in children:
        preimage, own = child(root, share, index, form)
        refuse_if(
            own != payment_hash,
            "reconstruct/payment-hash",
            "the shares give another payment hash than %s" % payment_hash.hex(),
        )
        preimages.append(preimage)
    return root, preimages
