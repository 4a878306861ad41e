"""What files are and what is made of them: containers, tracks, pictures, sound, damage. Pure, like all of core."""
