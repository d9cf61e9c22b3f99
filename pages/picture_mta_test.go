//go:build mta

package pages

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"dmarcgate/internal/browsertest"
)

var update = flag.Bool("update", false, "Write the pictures of the README (default: check that they can be made).")

// maxPicture is the largest picture of the README, in bytes.
const maxPicture = 100_000

func TestPicturesOfTheReadmeAreMadeByABrowser(t *testing.T) {
	f := newFixture(t)
	keepReport(t, f)
	rows, err := f.store.Older(t.Context(), 1<<62, 1)
	if err != nil || len(rows) == 0 {
		t.Fatal(err)
	}
	base := served(t, f.Source)
	b := browsertest.Start(t)
	for _, p := range []struct {
		name, path    string
		width, height int
		dark          bool
	}{
		{"status", "/", 1280, 1180, false}, {"decision", fmt.Sprint("/decisions/", rows[0].Sequence), 1280, 900, true}, {"narrow", "/rules", 390, 800, true},
	} {
		b.Screen(p.width, p.height, p.dark)
		b.Go(base + p.path)
		small := fewColors(t, b.Picture())
		if len(small) > maxPicture {
			t.Errorf("%s has %d bytes; want at most %d", p.name, len(small), maxPicture)
		}
		path := filepath.Join("../docs/pages", p.name+".png")
		if *update {
			if err := os.WriteFile(path, small, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%v: run go test -tags mta -run TestPictures ./pages -update", err)
		}
	}
}

// fewColors is a picture with the 256 colours that it has most of: pages have few.
func fewColors(t *testing.T, text []byte) []byte {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	count := make(map[color.Color]int)
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			count[img.At(x, y)]++
		}
	}
	most := slices.SortedFunc(maps.Keys(count), func(a, b color.Color) int { return cmp.Compare(count[b], count[a]) })
	out := image.NewPaletted(img.Bounds(), color.Palette(most[:min(256, len(most))]))
	draw.Draw(out, out.Rect, img, image.Point{}, draw.Src)
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&b, out); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
