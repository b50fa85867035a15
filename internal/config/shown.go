package config

// Shown returns the configuration that [Config.Show] wrote. It takes nothing from the
// environment, which has had its effect already, and contains no secrets, so that no service
// can be built of it.
func Shown(text []byte) (Config, error) {
	var f file
	d, err := read(text, &f)
	if err != nil {
		return Config{}, err
	}
	if err := d.reported(nil, nil); err != nil {
		return Config{}, err
	}
	c := Default()
	f.apply(&c, nil) // what it finds is that secrets are missing
	return c, nil
}
