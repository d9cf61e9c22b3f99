package site

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"dmarcgate/config"
	"dmarcgate/policy/sampling"
)

// SamplingSecret reads the sampling secret, or makes it at the first start.
func SamplingSecret(path string) ([]byte, error) { return loadKey(path, "sampling secret") }

// QueueIDKey reads the key for queue ids, or makes it at the first start
// that needs it. Without one, ids are kept as they are.
func QueueIDKey(p config.Privacy) ([]byte, error) {
	if !p.HashQueueIDs {
		return nil, nil
	}
	return loadKey(p.KeyFile, "queue id key")
}

// loadKey reads a key, or makes it when there is none. The file is linked into
// place whole, so two daemons that start at once agree.
func loadKey(path, what string) ([]byte, error) {
	key, err := readKey(path, what)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeKey(path); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("making the %s: %w", what, err)
		}
		key, err = readKey(path, what)
	}
	return key, err
}

// ReadQueueIDKey reads the key for queue ids. That there is none is
// fs.ErrNotExist; it is not made.
func ReadQueueIDKey(path string) ([]byte, error) { return readKey(path, "queue id key") }

// readKey reads a key that is there.
func readKey(path, what string) ([]byte, error) {
	key, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the %s: %w", what, err)
	}
	if len(key) < sampling.MinSecret {
		return nil, fmt.Errorf("the %s %s has %d bytes and must have at least %d: remove the file and a new one is made", what, path, len(key), sampling.MinSecret)
	}
	return key, nil
}

func makeKey(path string) error {
	key := make([]byte, sampling.MinSecret)
	rand.Read(key)
	tmp := fmt.Sprintf("%s.%d", path, os.Getpid())
	defer os.Remove(tmp)
	if err := os.WriteFile(tmp, key, 0o600); err != nil {
		return err
	}
	return os.Link(tmp, path)
}
