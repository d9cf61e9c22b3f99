package main

import "math/rand/v2"

// signing is how a message is signed.
type signing uint8

const (
	rsaOnly     signing = iota // RSA-2048, by the author's domain
	ed25519Only                // Ed25519, by the author's domain
	twoRSA                     // RSA-2048, by the author's domain and by its mail service
)

// plan is what one message of the mix is like.
type plan struct {
	size   int // bytes, header included
	sign   signing
	domain int // 0 is the domain with the most mail
}

const (
	domains = 2000
	// zipfExponent gives the first domain about a sixth of the mail.
	zipfExponent = 1.1
)

// share is a value and how many of block messages have it.
type share[T any] struct {
	of    int
	value T
}

// block is the number of messages in which every share is exact.
const block = 100

var (
	sizeShares = []share[int]{{60, 2 << 10}, {30, 20 << 10}, {9, 200 << 10}, {1, 2 << 20}}
	signShares = []share[signing]{{85, rsaOnly}, {5, ed25519Only}, {10, twoRSA}}
)

// makePlans returns the first n messages of the mix of a seed. A longer mix
// begins with a shorter one.
func makePlans(seed uint64, n int) []plan {
	sizes := deal(sizeShares, rand.New(rand.NewPCG(seed, 1)), n)
	signings := deal(signShares, rand.New(rand.NewPCG(seed, 2)), n)
	zipf := rand.NewZipf(rand.New(rand.NewPCG(seed, 3)), zipfExponent, 1, domains-1)
	plans := make([]plan, n)
	for i := range plans {
		plans[i] = plan{sizes[i], signings[i], int(zipf.Uint64())}
	}
	return plans
}

// deal returns n values, in blocks that are shuffled each for itself.
func deal[T any](shares []share[T], rng *rand.Rand, n int) []T {
	var deck []T
	for _, s := range shares {
		for range s.of {
			deck = append(deck, s.value)
		}
	}
	var out []T
	for len(out) < n {
		rng.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		out = append(out, deck...)
	}
	return out[:n]
}
