package policy

import "testing"

// Maker is maker, for tests that need package replay, too.
type Maker = maker

// Ruled is ruled.
func Ruled(t *testing.T, f func(Maker, Settings, Facts)) { ruled(t, f) }

// Forget is forget.
func (m maker) Forget(f Facts) Facts { return m.forget(f) }
