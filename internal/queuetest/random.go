package queuetest

import "testing"

func random(t *testing.T, open func(t *testing.T) Subject) {}
