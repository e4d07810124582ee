"""A tenant that never was: what happens in it, how Azure would show it, and what the reports must say of it.

`shape` says what there is, `traffic` what is asked of it, `bills` what Azure charges and when that is known, `answers`
what every report must answer at any instant; all of these are pure, seeded, and know nothing of the program. `world`
puts them into Azurite and the fakes, `run` drives the days and compares.
"""
