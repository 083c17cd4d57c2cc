"""Verifies tokens as any other program would: by their certificate and by the set of keys, from the RFCs.

It reads a JSON object {tokens, jwks, bundle, by} from stdin, and writes the claims of each token, or the reason why
it is none, as a JSON list. `by` is who checks signatures and reads certificates: "openssl", or "cryptography".
"""
import base64
import hashlib
import json
import subprocess
import sys
import tempfile


def decode(text):
    """base64url without padding (RFC 7515 appendix C), and no other spelling of the same bytes."""
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if encode(raw) != text:
        raise ValueError("another spelling")
    return raw


def encode(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def thumbprint(jwk):
    """RFC 7638."""
    members = {"EC": ["crv", "kty", "x", "y"], "RSA": ["e", "kty", "n"]}[jwk["kty"]]
    text = json.dumps({name: jwk[name] for name in members}, sort_keys=True, separators=(",", ":"))
    return encode(hashlib.sha256(text.encode()).digest())


# RFC 7638 section 3.1.
EXAMPLE = {
    "kty": "RSA",
    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3"
    "oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQ"
    "vRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDK"
    "gw",
    "e": "AQAB",
    "alg": "RS256",
    "kid": "2011-04-29",
}
assert thumbprint(EXAMPLE) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


class Openssl:
    def run(self, *arguments, **files):
        with tempfile.TemporaryDirectory() as folder:
            paths = {}
            for name, content in files.items():
                paths[name] = f"{folder}/{name}"
                with open(paths[name], "wb") as file:
                    file.write(content)
            arguments = [paths[a[1:]] if a[:1] == "@" else a for a in arguments]
            done = subprocess.run(["openssl", *arguments], capture_output=True)
            return done.stdout if done.returncode == 0 else None

    def public(self, certificate):
        """The key of a certificate, as PEM. It is self-signed, which is checked on the way."""
        pem = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(certificate) + b"-----END CERTIFICATE-----\n"
        if self.run("verify", "-check_ss_sig", "-x509_strict", "-CAfile", "@c", "@c", c=pem) is None:
            # A certificate that signs no others is no CA for older openssl with all its checks.
            if self.run("verify", "-check_ss_sig", "-partial_chain", "-trusted", "@c", "@c", c=pem) is None:
                raise ValueError("the certificate does not verify")
        return self.run("x509", "-in", "@c", "-pubkey", "-noout", c=pem)

    def jwk(self, public):
        text = self.run("pkey", "-pubin", "-in", "@p", "-noout", "-text", p=public).decode()
        if "prime256v1" in text:
            point = self.run("pkey", "-pubin", "-in", "@p", "-outform", "DER", p=public)[-65:]
            assert point[0] == 4
            return {"kty": "EC", "crv": "P-256", "x": encode(point[1:33]), "y": encode(point[33:])}
        modulus = self.run("rsa", "-pubin", "-in", "@p", "-noout", "-modulus", p=public).decode()
        exponent = int(text.split("Exponent: ")[1].split()[0])
        number = bytes.fromhex(modulus.strip().split("=")[1])
        return {"kty": "RSA", "n": encode(number), "e": encode(exponent.to_bytes((exponent.bit_length() + 7) // 8, "big"))}

    def verifies(self, public, algorithm, text, signature):
        if algorithm == "ES256":
            signature = der(signature)
        return self.run("dgst", "-sha256", "-verify", "@p", "-signature", "@s", "@t", p=public, s=signature, t=text) is not None


def der(signature):
    """r and s in 32 bytes each, as a DER sequence of two integers (RFC 7518 section 3.4, RFC 3279 section 2.2.3)."""
    if len(signature) != 64:
        raise ValueError("a signature of ES256 has 64 bytes")

    def integer(raw):
        raw = raw.lstrip(b"\0")
        raw = b"\0" + raw if not raw or raw[0] & 0x80 else raw
        return bytes([2, len(raw)]) + raw

    both = integer(signature[:32]) + integer(signature[32:])
    return bytes([0x30, len(both)]) + both


class Cryptography:
    def public(self, certificate):
        from cryptography import x509

        read = x509.load_der_x509_certificate(certificate)
        read.verify_directly_issued_by(read)
        return read.public_key()

    def jwk(self, public):
        from cryptography.hazmat.primitives.asymmetric import ec

        numbers = public.public_numbers()
        if isinstance(public, ec.EllipticCurvePublicKey):
            assert public.curve.name == "secp256r1"
            raw = [number.to_bytes(32, "big") for number in (numbers.x, numbers.y)]
            return {"kty": "EC", "crv": "P-256", "x": encode(raw[0]), "y": encode(raw[1])}
        raw = [number.to_bytes((number.bit_length() + 7) // 8, "big") for number in (numbers.n, numbers.e)]
        return {"kty": "RSA", "n": encode(raw[0]), "e": encode(raw[1])}

    def verifies(self, public, algorithm, text, signature):
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, padding

        try:
            if algorithm == "ES256":
                public.verify(der(signature), text, ec.ECDSA(hashes.SHA256()))
            else:
                public.verify(signature, text, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return False
        return True


def check(token, keys, bundle, by):
    header, claims, signature = token.split(".")
    text = f"{header}.{claims}".encode()
    header, claims, signature = json.loads(decode(header)), json.loads(decode(claims)), decode(signature)
    assert set(header) == {"alg", "typ", "kid", "x5c"}, header
    (key,) = [key for key in keys if key["kid"] == header["kid"]]
    assert header["alg"] == key["alg"] == {"EC": "ES256", "RSA": "RS256"}[key["kty"]] and header["typ"] == "JWT"
    assert key["use"] == "sig" and not {"d", "p", "q", "dp", "dq", "qi", "k", "oth"} & set(key)
    assert thumbprint(key) == header["kid"]
    assert header["x5c"] == key["x5c"] and len(header["x5c"]) == 1
    certificate = base64.b64decode(header["x5c"][0], validate=True)
    assert certificate in bundle
    public = by.public(certificate)
    assert by.jwk(public) == {name: key[name] for name in by.jwk(public)}
    assert type(claims["aud"]) is str and all(type(claims[name]) is int for name in ("exp", "nbf", "iat"))
    if not by.verifies(public, header["alg"], text, signature):
        raise ValueError("the signature is wrong")
    return claims


def main():
    asked = json.load(sys.stdin)
    by = {"openssl": Openssl, "cryptography": Cryptography}[asked["by"]]()
    parts = asked["bundle"].split("-----BEGIN CERTIFICATE-----")[1:]
    bundle = [base64.b64decode(part.split("-----END CERTIFICATE-----")[0]) for part in parts]
    keys = json.loads(asked["jwks"])["keys"]
    assert len(bundle) == len(keys) == len({key["kid"] for key in keys})
    told = []
    for token in asked["tokens"]:
        try:
            told.append(check(token, keys, bundle, by))
        except ValueError as error:
            told.append(str(error))
    json.dump(told, sys.stdout)


main()
