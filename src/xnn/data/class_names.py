"""The names of the classes, in the order of the labels, as the data sets' authors give them."""


def listed(text: str) -> tuple[str, ...]:
    """Return the names in a text, which are separated by commas."""
    return tuple(name.strip() for name in text.split(","))


DIGITS = tuple("0123456789")
CIFAR10 = listed("airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck")
CIFAR100_COARSE = listed(
    """
    aquatic_mammals, fish, flowers, food_containers, fruit_and_vegetables, household_electrical_devices,
    household_furniture, insects, large_carnivores, large_man-made_outdoor_things, large_natural_outdoor_scenes,
    large_omnivores_and_herbivores, medium_mammals, non-insect_invertebrates, people, reptiles, small_mammals,
    trees, vehicles_1, vehicles_2
    """
)
CIFAR100_FINE = listed(
    """
    apple, aquarium_fish, baby, bear, beaver, bed, bee, beetle, bicycle, bottle, bowl, boy, bridge, bus,
    butterfly, camel, can, castle, caterpillar, cattle, chair, chimpanzee, clock, cloud, cockroach, couch, crab,
    crocodile, cup, dinosaur, dolphin, elephant, flatfish, forest, fox, girl, hamster, house, kangaroo, keyboard,
    lamp, lawn_mower, leopard, lion, lizard, lobster, man, maple_tree, motorcycle, mountain, mouse, mushroom,
    oak_tree, orange, orchid, otter, palm_tree, pear, pickup_truck, pine_tree, plain, plate, poppy, porcupine,
    possum, rabbit, raccoon, ray, road, rocket, rose, sea, seal, shark, shrew, skunk, skyscraper, snail, snake,
    spider, squirrel, streetcar, sunflower, sweet_pepper, table, tank, telephone, television, tiger, tractor,
    train, trout, tulip, turtle, wardrobe, whale, willow_tree, wolf, woman, worm
    """
)
