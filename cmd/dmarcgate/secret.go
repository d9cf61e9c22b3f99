package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"dmarcgate/policy"
)

// loadSecret reads the sampling secret, or makes it at the first start. The
// file is linked into place whole, so two daemons that start at once agree.
func loadSecret(path string) ([]byte, error) {
	secret, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeSecret(path); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("making the sampling secret: %w", err)
		}
		secret, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the sampling secret: %w", err)
	}
	if len(secret) < policy.MinSecret {
		return nil, fmt.Errorf("the sampling secret %s has %d bytes and must have at least %d: remove the file and a new one is made", path, len(secret), policy.MinSecret)
	}
	return secret, nil
}

func makeSecret(path string) error {
	secret := make([]byte, policy.MinSecret)
	rand.Read(secret)
	tmp := fmt.Sprintf("%s.%d", path, os.Getpid())
	defer os.Remove(tmp)
	if err := os.WriteFile(tmp, secret, 0o600); err != nil {
		return err
	}
	return os.Link(tmp, path)
}
