package bench

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// chooseOptions makes options from the flags; benchtime is -benchtime as given, or "". If no flag says how thorough the run is, that is left open.
func chooseOptions(benchtime string, rounds int, seconds float64, only string) (options, error) {
	o := options{thoroughness: usual}
	if only != "" {
		o.only = strings.Split(only, ",")
	}
	if benchtime == "" && rounds == 0 && seconds == 0 {
		o.thoroughness = thoroughness{}
		return o, nil
	}
	if n, ok := strings.CutSuffix(benchtime, "x"); ok {
		x, err := strconv.Atoi(n)
		if err != nil {
			return o, fmt.Errorf("bench: -benchtime %s: %w", benchtime, err)
		}
		o.rounds = x
	} else if benchtime != "" {
		d, err := time.ParseDuration(benchtime)
		if err != nil {
			return o, fmt.Errorf("bench: -benchtime: %w", err)
		}
		o.load = d
	}
	if rounds != 0 {
		o.rounds = rounds
	}
	if seconds != 0 {
		o.load = time.Duration(seconds * float64(time.Second))
	}
	if o.rounds < 1 || o.load <= 0 {
		return o, fmt.Errorf("bench: %d rounds of %v: both must be positive", o.rounds, o.load)
	}
	return o, nil
}
