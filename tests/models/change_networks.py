"""Published networks that compare two dates, rebuilt from their published structure.

Own code, made from layer sizes alone; weights are random, since what they are for is the layout
of inputs and outputs. Loaded by path; needs PyTorch, timm and segmentation-models-pytorch.

=============== ============================= ========================= =======================
network         takes                         gives                     structure read from
=============== ============================= ========================= =======================
TinyCD          two arrays                    one probability           Codegoni et al. 2022,
                                                                        Tiny_model_4_CD
BIT             two arrays                    two logits                Chen et al. 2021, in
                                                                        ChangeFormer's networks
ChangeFormerV6  two arrays                    a list of five pairs of   Bandara and Patel 2022,
                                              logits, the last of full  ChangeFormer
                                              size
LENet           six channels of 256 pixels    two logits                dyzy41/lenet, lenet4
FC-Siam-conc,   one array ``[N, 2, C, H, W]`` one logit                 TorchGeo, fcsiam
FC-Siam-diff
U-Net           six channels                  one logit                 TorchGeo, trainers
=============== ============================= ========================= =======================
"""

import itertools
import sys

import torch
from torch import nn
from torch.nn import functional

TILE = 256


def mend_torchvision():
    """Let timm load beside a torchvision of another build than PyTorch; it needs none of it."""
    try:
        import torchvision  # noqa: F401, PLC0415 - may be of another build
    except RuntimeError:
        for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        sys.torchvision_operators = library


mend_torchvision()

import segmentation_models_pytorch as smp  # noqa: E402 - after torchvision
import timm  # noqa: E402 - after torchvision
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder  # noqa: E402 - as above
from timm.models.swin_transformer_v2 import SwinTransformerV2Block  # noqa: E402 - after torchvision


def conv(into, out, size=3, **options):
    return nn.Conv2d(into, out, size, padding=size // 2, **options)


def enlarged(x, factor):
    return functional.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


# --- TinyCD -----------------------------------------------------------------------------------


class Mixed(nn.Module):
    """Both dates' channels, interleaved, two by two."""

    def __init__(self, channels):
        super().__init__()
        self.mix = conv(2 * channels, channels, groups=channels)
        self.act = nn.PReLU()
        self.norm = nn.InstanceNorm2d(channels)

    def forward(self, before, after):
        pairs = torch.stack((before, after), 2).flatten(1, 2)
        return self.norm(self.act(self.mix(pairs)))


def pixelwise(*widths, last=None):
    layers = []
    for number, (into, out) in enumerate(itertools.pairwise(widths)):
        is_last = number == len(widths) - 2
        layers += [conv(into, out, 1), last if is_last and last else nn.PReLU()]
    return nn.Sequential(*layers)


class MaskedUp(nn.Module):
    """Enlarged to a fixed size, weighed by a mask, convolved channel by channel, then mixed."""

    def __init__(self, edge, into, out):
        super().__init__()
        self.edge = edge
        self.layers = nn.Sequential(
            *(conv(into, into, groups=into), nn.PReLU(), nn.InstanceNorm2d(into)),
            *(conv(into, out, 1), nn.PReLU(), nn.InstanceNorm2d(out)),
        )

    def forward(self, x, mask):
        size = (self.edge, self.edge)
        x = functional.interpolate(x, size=size, mode="bilinear", align_corners=True)
        return self.layers(x * mask)


class TinyCD(nn.Module):
    """Four stages of EfficientNet-B4 for both dates, masks from their mixtures."""

    def __init__(self):
        super().__init__()
        whole = timm.create_model("efficientnet_b4")
        self.stages = nn.ModuleList(
            [nn.Sequential(whole.conv_stem, whole.bn1), *(whole.blocks[i] for i in range(3))]
        )
        self.mixed = nn.ModuleList([Mixed(3), Mixed(24), Mixed(32), Mixed(56)])
        self.masks = nn.ModuleList(
            [pixelwise(3, 10, 5, 1), pixelwise(24, 12, 6, 1), pixelwise(32, 16, 8, 1)]
        )
        self.ups = nn.ModuleList(
            [MaskedUp(64, 56, 64), MaskedUp(128, 64, 64), MaskedUp(TILE, 64, 32)]
        )
        self.classify = pixelwise(32, 16, 8, 1, last=nn.Sigmoid())

    @property
    def head(self):
        return self.classify[-2]

    def forward(self, before, after):
        masks = [self.masks[0](self.mixed[0](before, after))]
        before, after = self.stages[0](before), self.stages[0](after)
        for number in (1, 2, 3):
            before, after = self.stages[number](before), self.stages[number](after)
            both = self.mixed[number](before, after)
            masks.append(self.masks[number](both) if number < len(self.masks) else both)
        x = masks.pop()
        for up in self.ups:
            x = up(x, masks.pop())
        return self.classify(x)


# --- BIT --------------------------------------------------------------------------------------


class Attention(nn.Module):
    """Eight heads of 64; what is asked may be other tokens than what answers."""

    def __init__(self, width, heads=8, depth=64):
        super().__init__()
        self.heads, self.scale = heads, width**-0.5
        self.ask, self.key, self.value = (
            nn.Linear(width, heads * depth, bias=False) for _ in range(3)
        )
        self.out = nn.Linear(heads * depth, width)

    def forward(self, x, memory):
        ask, key, value = (
            layer(t).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for layer, t in ((self.ask, x), (self.key, memory), (self.value, memory))
        )
        weight = (ask @ key.transpose(2, 3) * self.scale).softmax(-1)
        return self.out((weight @ value).transpose(1, 2).flatten(2))


class AttentionLayer(nn.Module):
    """Attention and two linear layers, each on normalised tokens and added."""

    def __init__(self, width):
        super().__init__()
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x, memory=None):
        ask = self.first(x)
        x = x + self.attention(ask, ask if memory is None else self.first(memory))
        return x + self.mlp(self.second(x))


class BIT(nn.Module):
    """ResNet-18 to an eighth, four tokens a date, one layer of encoder and eight of decoder."""

    def __init__(self, width=32, tokens=4):
        super().__init__()
        self.trunk = timm.create_model(
            "resnet18", features_only=True, output_stride=8, out_indices=(3,)
        )
        self.narrow = conv(256, width)
        self.attend = conv(width, tokens, 1, bias=False)
        self.place = nn.Parameter(torch.randn(1, 2 * tokens, width))
        self.encoder = AttentionLayer(width)
        self.decoder = nn.ModuleList([AttentionLayer(width) for _ in range(8)])
        self.classify = nn.Sequential(
            conv(width, width, bias=False), nn.BatchNorm2d(width), nn.ReLU(), conv(width, 2)
        )

    @property
    def head(self):
        return self.classify[-1]

    def forward(self, before, after):
        maps = [self.features(before), self.features(after)]
        tokens = torch.cat([self.tokens(m) for m in maps], 1)
        memory = self.encoder(tokens + self.place).chunk(2, 1)
        one, two = (self.decoded(m, t) for m, t in zip(maps, memory, strict=True))
        return self.classify(enlarged((one - two).abs(), 4))

    def features(self, x):
        return self.narrow(functional.interpolate(self.trunk(x)[0], scale_factor=2))

    def tokens(self, x):
        weight = self.attend(x).flatten(2).softmax(-1)
        return weight @ x.flatten(2).transpose(1, 2)

    def decoded(self, x, memory):
        flat = x.flatten(2).transpose(1, 2)
        for layer in self.decoder:
            flat = layer(flat, memory)
        return flat.transpose(1, 2).unflatten(2, x.shape[2:])


# --- ChangeFormer -----------------------------------------------------------------------------


class ReducedAttention(nn.Module):
    """Keys and values from a map that is reduced by a convolution."""

    def __init__(self, width, heads, reduction):
        super().__init__()
        self.heads = heads
        self.ask, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.reduce = nn.Conv2d(width, width, reduction, reduction) if reduction > 1 else None
        self.norm = nn.LayerNorm(width) if reduction > 1 else None

    def forward(self, x, size):
        memory = x
        if self.reduce is not None:
            small = self.reduce(x.transpose(1, 2).unflatten(2, size))
            memory = self.norm(small.flatten(2).transpose(1, 2))
        ask = self.ask(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
        both = self.key_value(memory).unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        found = functional.scaled_dot_product_attention(ask, both[0], both[1])
        return self.out(found.transpose(1, 2).flatten(2))


class MixBlock(nn.Module):
    """Attention, then a linear layer each before and after a convolution channel by channel."""

    def __init__(self, width, heads, reduction):
        super().__init__()
        self.first, self.second = nn.LayerNorm(width, 1e-6), nn.LayerNorm(width, 1e-6)
        self.attention = ReducedAttention(width, heads, reduction)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.local = conv(4 * width, 4 * width, groups=4 * width)

    def forward(self, x, size):
        x = x + self.attention(self.first(x), size)
        wide = self.wide(self.second(x)).transpose(1, 2).unflatten(2, size)
        wide = functional.gelu(self.local(wide).flatten(2).transpose(1, 2))
        return x + self.narrow(wide)


class MixStage(nn.Module):
    """Patches that overlap, and blocks."""

    def __init__(self, into, width, stride, blocks):
        super().__init__()
        self.patches = conv(into, width, 7, stride=stride)
        self.norm, self.last = nn.LayerNorm(width), nn.LayerNorm(width, 1e-6)
        self.blocks = nn.ModuleList([MixBlock(width, *block) for block in blocks])

    def forward(self, x):
        x = self.patches(x)
        size = x.shape[2:]
        x = self.norm(x.flatten(2).transpose(1, 2))
        for block in self.blocks:
            x = block(x, size)
        return self.last(x).transpose(1, 2).unflatten(2, size)


class Refined(nn.Module):
    """Twice the size, and two convolutions whose result is added in part."""

    def __init__(self, width):
        super().__init__()
        self.up = nn.ConvTranspose2d(width, width, 4, stride=2, padding=1)
        self.first, self.second = conv(width, width), conv(width, width)

    def forward(self, x):
        x = self.up(x)
        return x + 0.1 * self.second(functional.relu(self.first(x)))


class ChangeFormerV6(nn.Module):
    """Four stages for both dates; differences of each, from the coarsest to the finest."""

    def __init__(self, width=256):
        super().__init__()
        widths = (64, 128, 320, 512)
        blocks = ([(1, 8)] * 3, [(2, 4)] * 3, [(4, 2)] * 4, [(8, 1)] * 3)  # heads, reduction
        plan = zip((3, *widths[:-1]), widths, (4, 2, 2, 2), blocks, strict=True)
        self.stages = nn.ModuleList([MixStage(*row) for row in plan])
        self.even = nn.ModuleList([nn.Linear(w, width) for w in widths])
        self.differ = nn.ModuleList([self.two(2 * width, width, nn.ReLU()) for _ in widths])
        self.guess = nn.ModuleList([self.two(width, 2) for _ in widths])
        self.fuse = nn.Sequential(conv(4 * width, width, 1), nn.BatchNorm2d(width))
        self.refine = nn.Sequential(Refined(width), Refined(width))
        self.head = conv(width, 2)

    @staticmethod
    def two(into, out, *last):
        return nn.Sequential(conv(into, out), nn.ReLU(), nn.BatchNorm2d(out), conv(out, out), *last)

    def forward(self, before, after):
        sides = self.features(before), self.features(after)
        guesses, differences, coarser = [], [], None
        for number in (3, 2, 1, 0):
            x = self.differ[number](torch.cat([side[number] for side in sides], 1))
            coarser = x if coarser is None else x + enlarged(coarser, 2)
            guesses.append(self.guess[number](coarser))
            differences.append(enlarged(coarser, 2**number) if number else coarser)
        return [*guesses, self.head(self.refine(self.fuse(torch.cat(differences, 1))))]

    def features(self, x):
        found = []
        for stage, even in zip(self.stages, self.even, strict=True):
            x = stage(x)
            flat = even(x.flatten(2).transpose(1, 2))
            found.append(flat.transpose(1, 2).unflatten(2, x.shape[2:]))
        return found


# --- LENet ------------------------------------------------------------------------------------


class Residual(nn.Module):
    """Two convolutions, and what came in."""

    def __init__(self, width):
        super().__init__()
        self.layers = nn.Sequential(
            *(conv(width, width, bias=False), nn.BatchNorm2d(width), nn.ReLU()),
            *(conv(width, width, bias=False), nn.BatchNorm2d(width)),
        )

    def forward(self, x):
        return functional.relu(self.layers(x) + x)


class Exchange(nn.Module):
    """Weighs both dates where, and in the channels in which, they are unlike."""

    def __init__(self, width):
        super().__init__()
        self.first, self.second = Residual(width), Residual(width)

    def forward(self, one, two):
        here = functional.cosine_similarity(one, two, dim=1).unsqueeze(1)
        channel = functional.cosine_similarity(one.flatten(2), two.flatten(2), dim=2)
        weight = (1 - here.sigmoid()) * (1 - channel.sigmoid())[:, :, None, None]
        return one + self.first(one * weight), two + self.second(two * weight)


class Pyramid(nn.Module):
    """A feature pyramid: coarser maps are added to the finer ones."""

    def __init__(self, widths, out):
        super().__init__()
        self.sides = nn.ModuleList([conv(w, out, 1) for w in widths])
        self.smooth = nn.ModuleList([conv(out, out) for _ in widths])

    def forward(self, maps):
        maps = [side(m) for side, m in zip(self.sides, maps, strict=True)]
        for number in (2, 1, 0):
            maps[number] = maps[number] + functional.interpolate(maps[number + 1], scale_factor=2)
        return [smooth(m) for smooth, m in zip(self.smooth, maps, strict=True)]


class Squeezed(nn.Module):
    """Channels weighed by what they are on average, and halved."""

    def __init__(self, into, out):
        super().__init__()
        self.weigh = nn.Sequential(
            *(nn.AdaptiveAvgPool2d(1), conv(into, into // 16, 1), nn.ReLU()),
            *(conv(into // 16, into, 1), nn.Hardsigmoid()),
        )
        self.halve = nn.Sequential(
            conv(into, out, 1, bias=False), nn.BatchNorm2d(out), nn.Hardsigmoid()
        )

    def forward(self, x):
        return self.halve(x * self.weigh(x))


class Windows(nn.Sequential):
    """Two blocks of Swin V2, the second one's windows moved by half; channels first."""

    def __init__(self, width, edge, heads):
        super().__init__(
            *(
                SwinTransformerV2Block(width, (edge, edge), heads, window_size=8, shift_size=shift)
                for shift in (0, 4)
            )
        )

    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Side(nn.Module):
    """What the decoder has for one of the dates."""

    def __init__(self, width):
        super().__init__()
        self.pyramid = Pyramid((128, 256, 512, 1024), width)
        self.windows = nn.ModuleList([Windows(width, 64 >> n, 4 << n) for n in range(4)])
        self.halved = nn.ModuleList([Squeezed(2 * width, width) for _ in range(4)])


class LENet(nn.Module):
    """Swin V2 for both dates, which exchange what they see on all levels."""

    def __init__(self, width=256):
        super().__init__()
        self.backbone = timm.create_model("swinv2_base_window8_256", features_only=True)
        self.exchange = nn.ModuleList([Exchange(w) for w in (128, 128, 256, 512, 1024)])
        self.sides = nn.ModuleList([Side(width), Side(width)])
        self.again = nn.ModuleList([Exchange(width) for _ in range(3)])
        self.last = nn.Sequential(
            conv(2 * width, width, bias=False), nn.BatchNorm2d(width), nn.ReLU(), conv(width, 2, 1)
        )

    @property
    def head(self):
        return self.last[-1]

    def forward(self, both):
        one, two = self.swapped(*self.encoded(both[:, :3], both[:, 3:]))
        one, two = self.swapped(self.sides[0].pyramid(one), self.sides[1].pyramid(two))
        pair = None
        for level in (3, 2, 1, 0):
            a, b = one[level], two[level]
            if pair is not None:
                a, b = a + pair[1], b + pair[0]
            pair = self.decoded(level, a, b)
        return functional.interpolate(
            self.last(torch.cat(pair, 1)), size=both.shape[2:], mode="bilinear"
        )

    def encoded(self, one, two):
        ones, twos = [], []
        for (_name, stage), exchange in zip(
            self.backbone.named_children(), self.exchange, strict=True
        ):
            one, two = (stage(x).permute(0, 3, 1, 2) for x in (one, two))
            one, two = exchange(one, two)
            ones.append(one)
            twos.append(two)
            one, two = (x.permute(0, 2, 3, 1) for x in (one, two))
        return ones[1:], twos[1:]

    def decoded(self, level, a, b):
        first, second = self.sides
        seen = first.windows[level](a), second.windows[level](b)
        pair = (
            first.halved[level](torch.cat((seen[0], b), 1)),
            second.halved[level](torch.cat((seen[1], a), 1)),
        )
        if level:
            pair = tuple(enlarged(x, 2) for x in pair)
        return pair if level == len(self.again) else self.again[level](*pair)

    @staticmethod
    def swapped(one, two):
        """Every second level of one date for that of the other."""
        pairs = list(zip(one, two, strict=True))
        pairs[::2] = [(b, a) for a, b in pairs[::2]]
        return [a for a, _b in pairs], [b for _a, b in pairs]


# --- TorchGeo ---------------------------------------------------------------------------------


class Siamese(nn.Module):
    """A U-Net whose decoder sees both dates' features, side by side or as their difference."""

    def __init__(self, *, is_difference):
        super().__init__()
        self.is_difference = is_difference
        self.encoder = smp.encoders.get_encoder("resnet50", in_channels=3, depth=5, weights=None)
        first, *others = self.encoder.out_channels
        widths = (256, 128, 64, 32, 16)
        self.decoder = UnetDecoder(
            encoder_channels=[first, *(w if is_difference else 2 * w for w in others)],
            decoder_channels=widths,
            n_blocks=len(widths),
        )
        self.head = conv(widths[-1], 1)

    def forward(self, both):
        before, after = self.encoder(both[:, 0]), self.encoder(both[:, 1])
        pairs = list(zip(before, after, strict=True))[1:]
        joined = [b - a if self.is_difference else torch.cat((b, a), 1) for a, b in pairs]
        return self.head(self.decoder([after[0], *joined]))


def unet():
    """The U-Net of TorchGeo's trainer: both dates' bands are channels of one picture."""
    net = smp.Unet("resnet50", encoder_weights=None, in_channels=6, classes=1)
    net.head = net.segmentation_head[0]
    return net
