/* The hash of who asks, for the probe: the first eight bytes of HMAC-SHA256, as PHP's own hash_hmac() would make them.
 *
 * Of the four blocks that an HMAC takes two depend on the key alone: what they lead to is kept for the next request, which PHP
 * code cannot. That, and a compiler that optimizes, is a sixth of what the probe costs.
 */
#include "php.h"

enum { BLOCK = 64 };

static const uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

struct state {
    uint32_t words[8];
};

static inline uint32_t turned(uint32_t word, int bits) { return word >> bits | word << (32 - bits); }

/* One of 64 steps; instead of moving eight words on, the next step has other names for them. */
static inline void step(const uint32_t *s0, const uint32_t *s1, const uint32_t *s2, uint32_t *s3, const uint32_t *s4,
                        const uint32_t *s5, const uint32_t *s6, uint32_t *s7, uint32_t more) {
    uint32_t first = *s7 + (turned(*s4, 6) ^ turned(*s4, 11) ^ turned(*s4, 25)) + (*s6 ^ (*s4 & (*s5 ^ *s6))) + more;
    *s3 += first;
    *s7 = first + (turned(*s0, 2) ^ turned(*s0, 13) ^ turned(*s0, 22)) + ((*s0 & *s1) | (*s2 & (*s0 | *s1)));
}

/* FIPS 180-4, 6.2.2 */
static void take(struct state *state, const unsigned char *block) {
    uint32_t w[64], *s = state->words;
    uint32_t a = s[0], b = s[1], c = s[2], d = s[3], e = s[4], f = s[5], g = s[6], h = s[7];
    for (int i = 0; i < 16; i++, block += 4)
        w[i] = (uint32_t)block[0] << 24 | (uint32_t)block[1] << 16 | (uint32_t)block[2] << 8 | block[3];
    for (int i = 16; i < 64; i++) {
        uint32_t x = w[i - 15], y = w[i - 2];
        w[i] = w[i - 16] + (turned(x, 7) ^ turned(x, 18) ^ x >> 3) + w[i - 7] + (turned(y, 17) ^ turned(y, 19) ^ y >> 10);
    }
    for (int i = 0; i < 64; i += 8) {
        const uint32_t *more = w + i, *constant = constants + i;
        step(&a, &b, &c, &d, &e, &f, &g, &h, more[0] + constant[0]);
        step(&h, &a, &b, &c, &d, &e, &f, &g, more[1] + constant[1]);
        step(&g, &h, &a, &b, &c, &d, &e, &f, more[2] + constant[2]);
        step(&f, &g, &h, &a, &b, &c, &d, &e, more[3] + constant[3]);
        step(&e, &f, &g, &h, &a, &b, &c, &d, more[4] + constant[4]);
        step(&d, &e, &f, &g, &h, &a, &b, &c, more[5] + constant[5]);
        step(&c, &d, &e, &f, &g, &h, &a, &b, more[6] + constant[6]);
        step(&b, &c, &d, &e, &f, &g, &h, &a, more[7] + constant[7]);
    }
    s[0] += a, s[1] += b, s[2] += c, s[3] += d, s[4] += e, s[5] += f, s[6] += g, s[7] += h;
}

/* What a key leads to, each of its bytes changed by `change`. */
static struct state begun(const unsigned char *key, unsigned char change) {
    struct state state = {{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
    unsigned char block[BLOCK];
    for (int i = 0; i < BLOCK; i++) block[i] = key[i] ^ change;
    take(&state, block);
    return state;
}

/* The rest of a message behind one block. */
static void end(struct state *state, const unsigned char *rest, size_t length) {
    unsigned char block[BLOCK] = {0};
    uint64_t bits = (BLOCK + length) * 8;
    for (; length >= BLOCK; rest += BLOCK, length -= BLOCK) take(state, rest);
    for (size_t i = 0; i < length; i++) block[i] = rest[i];
    block[length] = 0x80;
    if (length >= BLOCK - 8) {
        take(state, block);
        for (size_t i = 0; i < BLOCK; i++) block[i] = 0;
    }
    for (int i = 0; i < 8; i++) block[BLOCK - 1 - i] = (unsigned char)(bits >> 8 * i);
    take(state, block);
}

static void write(unsigned char *to, const struct state *state) {
    for (int i = 0; i < 32; i++) to[i] = (unsigned char)(state->words[i / 4] >> (24 - 8 * (i % 4)));
}

/* Into `hex`, 16 digits; `key` has 64 bytes, filled up with zeros. */
void rollcall_hash(char *hex, const unsigned char *key, const unsigned char *text, size_t length) {
    static unsigned char known[BLOCK];
    static struct state inner, outer;
    static int is_known;
    unsigned char digest[32];
    int same = 0;
    while (is_known && same < BLOCK && known[same] == key[same]) same++;
    if (same < BLOCK) {
        inner = begun(key, 0x36);
        outer = begun(key, 0x5c);
        for (int i = 0; i < BLOCK; i++) known[i] = key[i];
        is_known = 1;
    }
    struct state state = inner;
    end(&state, text, length);
    write(digest, &state);
    state = outer;
    end(&state, digest, sizeof digest);
    write(digest, &state);
    for (int i = 0; i < 8; i++) hex[2 * i] = "0123456789abcdef"[digest[i] >> 4], hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    hex[16] = 0;
}
