package streamcodec

import (
	"regexp"
	"testing"
)

func TestRequestIDs(t *testing.T) {
	t.Parallel()
	var one, other RequestIDs
	seen := map[RequestID]bool{}
	for range 1000 {
		for _, ids := range []*RequestIDs{&one, &other} {
			var id RequestID
			ids.Next(&id)
			if seen[id] || !regexp.MustCompile(`^[0-9a-f]{32}$`).Match(id[:]) {
				t.Fatalf("%q", id[:])
			}
			seen[id] = true
		}
	}
}
