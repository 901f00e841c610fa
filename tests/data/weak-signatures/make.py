"""Prints frozen.rs: see README.md."""

import base64

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

SIGNED = (
    '{"_type":"Targets","delegations":{"keys":{},"roles":[]},'
    '"expires":"2126-11-22T12:00:00Z","targets":{},"version":1}'
)
SHA = hashes.SHA256()


def public(key):
    der = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return base64.b64encode(der).decode()


def pss(key, salt):
    return key.sign(SIGNED.encode(), padding.PSS(padding.MGF1(SHA), salt), SHA)


def pkcs1(key, hash=SHA):
    return key.sign(SIGNED.encode(), padding.PKCS1v15(), hash)


def ecdsa(key, hash=SHA, width=None, flip=None):
    r, s = utils.decode_dss_signature(key.sign(SIGNED.encode(), ec.ECDSA(hash)))
    width = width or (key.key_size + 7) // 8
    if flip:
        s = flip - s
    return r.to_bytes(width, "big") + s.to_bytes(width, "big")


rsa1024 = rsa.generate_private_key(65537, 1024)
rsa2048 = rsa.generate_private_key(65537, 2048)
p256 = ec.generate_private_key(ec.SECP256R1())
p384 = ec.generate_private_key(ec.SECP384R1())
p521 = ec.generate_private_key(ec.SECP521R1())
k1 = ec.generate_private_key(ec.SECP256K1())
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

GOOD = [
    ("rsa-2048 pss, salt 32", "rsa", "rsapss", rsa2048, pss(rsa2048, 32)),
    ("rsa-2048 pkcs1", "rsa", "rsapkcs1v15", rsa2048, pkcs1(rsa2048)),
    ("p-256", "ecdsa", "ecdsa", p256, ecdsa(p256)),
    ("p-256, s negated", "ecdsa", "ecdsa", p256, ecdsa(p256, flip=P256_ORDER)),
    ("p-384 with sha-256", "ecdsa", "ecdsa", p384, ecdsa(p384)),
    ("p-521 with sha-256", "ecdsa", "ecdsa", p521, ecdsa(p521)),
]
WEAK = [
    ("rsa-1024 pss, salt 32", "rsa", "rsapss", rsa1024, pss(rsa1024, 32)),
    ("rsa-1024 pkcs1", "rsa", "rsapkcs1v15", rsa1024, pkcs1(rsa1024)),
    ("rsa-2048 pss, salt 0", "rsa", "rsapss", rsa2048, pss(rsa2048, 0)),
    ("rsa-2048 pss, salt 20", "rsa", "rsapss", rsa2048, pss(rsa2048, 20)),
    ("rsa-2048 pss, salt 64", "rsa", "rsapss", rsa2048, pss(rsa2048, 64)),
    ("rsa-2048 pss, longest salt", "rsa", "rsapss", rsa2048, pss(rsa2048, 222)),
    ("rsa-2048 pkcs1 over sha-1", "rsa", "rsapkcs1v15", rsa2048, pkcs1(rsa2048, hashes.SHA1())),
    ("rsa-2048 pkcs1 over sha-512", "rsa", "rsapkcs1v15", rsa2048, pkcs1(rsa2048, hashes.SHA512())),
    ("secp256k1", "ecdsa", "ecdsa", k1, ecdsa(k1)),
    ("p-256 over sha-1", "ecdsa", "ecdsa", p256, ecdsa(p256, hashes.SHA1())),
    ("p-521 over sha-512", "ecdsa", "ecdsa", p521, ecdsa(p521, hashes.SHA512())),
    ("p-256, padded to the width of p-384", "ecdsa", "ecdsa", p256, ecdsa(p256, width=48)),
]

print("// Made by make.py beside it; see README.md. No private key exists any more.\n")
print(f'const FROZEN: &str = r#"{SIGNED}"#;')
for name, entries in (("GOOD", GOOD), ("WEAK", WEAK)):
    print(f"\nconst {name}: &[Frozen] = &[")
    for title, keytype, method, key, signature in entries:
        print("    Frozen {")
        for field, value in (
            ("name", title),
            ("keytype", keytype),
            ("method", method),
            ("public", public(key)),
            ("signature", base64.b64encode(signature).decode()),
        ):
            print(f'        {field}: "{value}",')
        print("    },")
    print("];")
