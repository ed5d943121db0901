package proxy

import "kroxy-ev/config"

// ReadConfig reads a configuration, and checks its routes and policies.
func ReadConfig(path string) (*config.Config, []config.Problem, error) {
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
