package main_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/summerwind/h2spec/config"
	"github.com/summerwind/h2spec/generic"
	"github.com/summerwind/h2spec/hpack"
	"github.com/summerwind/h2spec/http2"
	"github.com/summerwind/h2spec/spec"
)

// The cases of h2spec, with the strict ones, by TLS and without.
func TestH2spec(t *testing.T) {
	t.Parallel()
	skipUnderRace(t, "it is about what another program expects")
	host := serve(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, "hello, h2spec") // h2spec skips some cases if there are fewer than five bytes
	})
	id := newAuthority(t).issue("127.0.0.1")
	for name, s := range map[string]settings{
		"plain": {"listen": []object{{"port": 0, "protocols": []string{"h2c"}}}},
		"TLS": {
			"listen":       []object{{"port": 0, "protocols": []string{"h2"}}},
			"tls_enabled":  true,
			"certificates": []object{{"cert_path": id.cert, "key_path": id.key}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			port := reservePort(t)
			s["listen"].([]object)[0]["port"] = port
			startOn(t, port, setup{mode: "http", hosts: endpoints(host), settings: s})
			c := config.Config{Host: "127.0.0.1", Port: port, Path: "/", Timeout: patience, MaxHeaderLen: 4000, Strict: true, TLS: name == "TLS", Insecure: true}
			for _, g := range []*spec.TestGroup{generic.Spec(), http2.Spec(), hpack.Spec()} {
				h2specCases(t, c, g)
			}
		})
	}
}

// h2specCases runs a subtest for each case of g and of the groups below.
func h2specCases(t *testing.T, c config.Config, g *spec.TestGroup) {
	for i, tc := range slices.Concat(g.Tests, g.StrictTests) {
		t.Run(fmt.Sprintf("%s, %d", strings.ReplaceAll(g.ID(), "/", " "), i+1), func(t *testing.T) {
			t.Parallel()
			c := c // a case may change its configuration
			conn, err := spec.Dial(&c)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := tc.Run(&c, conn); errors.Is(err, spec.ErrSkipped) {
				t.Errorf("%s: skipped without a reason", tc.Desc)
			} else if err != nil {
				t.Errorf("%s: %s: %v", tc.Desc, tc.Requirement, err)
			}
		})
	}
	for _, below := range g.Groups {
		h2specCases(t, c, below)
	}
}
