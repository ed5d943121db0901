package main

import "kroxy-ev/config"

// readConfig reads a configuration, and checks what its routes do.
func readConfig(path string) (*config.Config, []config.Problem, error) {
	cfg, warnings, err := config.Load(path)
	if err == nil {
		var more []config.Problem
		more, err = checkRoutes(cfg)
		warnings = append(warnings, more...)
	}
	if err != nil {
		return nil, warnings, err
	}
	return cfg, warnings, nil
}
